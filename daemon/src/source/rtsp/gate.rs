//! What may be decoded of a stream that loses packets: a unit with a hole, and what refers to it, may not. A decoder would
//! show a guess, and nobody would see that it is one.

use crate::source::decode::Codec;

/// Follows packets, and judges the units that are made of them.
#[derive(Debug)]
pub struct Gate {
    last: Option<Packet>,
    /// Time of the unit before the last packet's.
    before: Option<u32>,
    /// Times of the units that a hole is in, the latest two.
    damaged: [Option<u32>; 2],
    waits_for_key: bool,
}

/// What is asked of an RTP packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Counts packets.
    sequence: u16,
    /// The same for all packets of a unit.
    time: u32,
    /// The last one of its unit.
    is_last: bool,
}

impl Packet {
    /// From the fixed header (RFC 3550, 5.1).
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [_, marker, s1, s0, t3, t2, t1, t0, ..] = *bytes else { return None };
        Some(Self {
            sequence: u16::from_be_bytes([s1, s0]),
            time: u32::from_be_bytes([t3, t2, t1, t0]),
            is_last: marker & 0x80 != 0,
        })
    }
}

impl Gate {
    /// Waits for its first key frame.
    pub fn new() -> Self {
        Self { last: None, before: None, damaged: [None; 2], waits_for_key: true }
    }

    /// A packet comes, in the order of their numbers.
    pub fn packet(&mut self, packet: Packet) {
        if let Some(last) = self.last {
            if packet.sequence != last.sequence.wrapping_add(1) {
                self.waits_for_key = true;
                // Either may lack what was between them.
                self.damaged = [Some(packet.time), (!last.is_last).then_some(last.time)];
            }
            if packet.time != last.time {
                self.before = Some(last.time);
            }
        }
        self.last = Some(packet);
    }

    /// Whether a unit may be decoded that was made of packets up to the last one.
    pub fn passes(&mut self, is_key: bool) -> bool {
        // A unit without a last packet ends where the next one begins.
        let time = match self.last {
            Some(last) if last.is_last => Some(last.time),
            _ => self.before,
        };
        if time.is_some() && self.damaged.contains(&time) {
            self.waits_for_key = true;
            return false;
        }
        self.waits_for_key &= !is_key;
        !self.waits_for_key
    }
}

/// Whether a decoder can begin with a unit, by its first slice. A depayloader calls a unit so that has parameter sets, and
/// those of a key frame whose slices are lost come with the next unit (ITU-T H.264, table 7-1; H.265, table 7-1).
pub fn begins_with_key(codec: Codec, unit: &[u8]) -> bool {
    let headers = unit.windows(4).filter(|bytes| bytes.starts_with(&[0, 0, 1])).map(|bytes| bytes[3]);
    let mut slices = headers.filter_map(|header| match codec {
        Codec::H264 => Some(header & 0x1f).filter(|kind| (1..=5).contains(kind)).map(|kind| kind == 5),
        Codec::H265 => Some(header >> 1 & 0x3f).filter(|kind| *kind < 32).map(|kind| kind >= 16),
    });
    slices.next().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of frames of three each, a key frame every fifth; which frames pass without the packets `lost`. As a
    /// depayloader does it, a frame is made of its last packet, or once the next frame begins.
    fn shown(lost: &[u16]) -> Vec<u32> {
        let (mut gate, mut shown, mut unfinished) = (Gate::new(), vec![], None);
        for number in (0..45).filter(|number| !lost.contains(number)) {
            let (frame, is_last) = (u32::from(number / 3), number % 3 == 2);
            let [s1, s0] = 65530_u16.wrapping_add(number).to_be_bytes();
            let [t3, t2, t1, t0] = (frame * 3000).to_be_bytes();
            let marker = if is_last { 0xe0 } else { 0x60 };
            gate.packet(Packet::read(&[0x80, marker, s1, s0, t3, t2, t1, t0, 0, 0, 0, 0]).unwrap());
            let made = [unfinished.filter(|before| *before != frame), is_last.then_some(frame)];
            shown.extend(made.into_iter().flatten().filter(|frame| gate.passes(frame % 5 == 0)));
            unfinished = (!is_last).then_some(frame);
        }
        shown
    }

    #[test]
    fn a_stream_without_loss_passes_whole() {
        assert_eq!(shown(&[]), (0..15).collect::<Vec<_>>());
    }

    #[test]
    fn after_a_loss_nothing_passes_until_a_whole_key_frame() {
        // In the middle of frame 7.
        assert_eq!(shown(&[22]), [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14]);
        // Frame 8, all of it.
        assert_eq!(shown(&[24, 25, 26]), [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14]);
        // The beginning of key frame 5, and its middle.
        assert_eq!(shown(&[15]), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
        assert_eq!(shown(&[16]), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
        // The end of frame 4: who knows whether key frame 5 began there.
        assert_eq!(shown(&[14]), [0, 1, 2, 3, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn parameter_sets_alone_make_no_key_frame() {
        let unit = |headers: &[u8]| -> Vec<u8> {
            headers.iter().flat_map(|header| [0, 0, 0, 1, *header, 0x80, 0x55]).collect()
        };
        assert!(begins_with_key(Codec::H264, &unit(&[0x67, 0x68, 0x65])), "SPS, PPS, IDR");
        assert!(!begins_with_key(Codec::H264, &unit(&[0x67, 0x68, 0x41])), "SPS, PPS, another slice");
        assert!(!begins_with_key(Codec::H264, &unit(&[0x67, 0x68])));
        assert!(begins_with_key(Codec::H265, &unit(&[0x40, 0x42, 0x44, 0x26])), "VPS, SPS, PPS, IDR");
        assert!(!begins_with_key(Codec::H265, &unit(&[0x40, 0x42, 0x44, 0x02])));
        for codec in [Codec::H264, Codec::H265] {
            assert!(!begins_with_key(codec, &[]) && !begins_with_key(codec, &[0, 0, 1]));
        }
    }

    #[test]
    fn a_packet_has_a_header() {
        assert!(Packet::read(&[0x80, 0xe0, 1]).is_none());
    }
}

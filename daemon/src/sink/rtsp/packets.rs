//! Access units as RTP packets (RFC 3550, and RFC 6184 with packetization-mode 1), made once for all viewers.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// The payload's type in SDP and packets: the first dynamic one.
pub const PAYLOAD_TYPE: u8 = 96;
/// RTP's clock of video, in Hz.
pub const CLOCK: u64 = 90_000;
/// Bytes of RTP's header, and of what stands before a packet that is sent over TCP (RFC 2326, 10.12).
const HEADER: usize = 12;
const FRAMING: usize = 4;
/// Bytes of a packet at most, so that it passes any network whole.
const PACKET: usize = 1400;
/// From 1900, where NTP begins, to 1970, in s.
const NTP: u64 = 2_208_988_800;

/// One access unit's packets, each with its framing for channel 0.
pub struct Packets {
    bytes: Bytes,
    /// Where each packet is, framing included.
    each: Vec<Range<usize>>,
    /// Whether it is an IDR.
    pub is_key: bool,
    /// When it is shown, by RTP's clock.
    pub time: u32,
}

/// Makes packets of units.
pub struct Packer {
    /// Says whose packets these are.
    pub ssrc: u32,
    sequence: u16,
    offset: u32,
}

/// What decoders need before the first picture, as the newest IDR had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Sequence parameter set.
    pub sps: Bytes,
    /// Picture parameter set.
    pub pps: Bytes,
}

impl Packets {
    /// All packets in a row, framed for `channel`.
    pub fn framed(&self, channel: u8) -> Bytes {
        if channel == 0 {
            return self.bytes.clone();
        }
        let mut bytes = self.bytes.to_vec();
        for packet in &self.each {
            bytes[packet.start + 1] = channel;
        }
        bytes.into()
    }

    /// Each packet without framing.
    pub fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.each.iter().map(|packet| &self.bytes[packet.start + FRAMING..packet.end])
    }

    /// Packets, and bytes of payload: what sender reports count.
    pub fn size(&self) -> (u32, u32) {
        let payload = self.bytes.len() - self.each.len() * (FRAMING + HEADER);
        (self.each.len() as u32, payload as u32)
    }
}

impl Packer {
    /// SSRC, sequence and time begin at random (RFC 3550, 5.1).
    pub fn new() -> Self {
        let random = RandomState::new().hash_one(0);
        Self { ssrc: (random >> 32) as u32, sequence: random as u16, offset: (random >> 16) as u32 }
    }

    /// The packets of a byte stream that is shown at `at` ns.
    pub fn pack(&mut self, stream: &[u8], at: u64, is_key: bool) -> Packets {
        let time = self.offset.wrapping_add((u128::from(at) * u128::from(CLOCK) / 1_000_000_000) as u32);
        let mut made = Vec::with_capacity(stream.len() + stream.len() / 64 + 64);
        let mut each = vec![];
        // Delimiters are the byte stream's business.
        let units: Vec<_> = nal_units(stream).filter(|unit| !matches!(unit[0] & 31, 9 | 12)).collect();
        for (n, unit) in units.iter().enumerate() {
            let is_last = n + 1 == units.len();
            if HEADER + unit.len() <= PACKET {
                self.packet(&mut made, &mut each, time, is_last, &[], unit);
                continue;
            }
            // Fragments: indicator and header stand for the unit's first byte (RFC 6184, 5.8).
            let chunks: Vec<_> = unit[1..].chunks(PACKET - HEADER - 2).collect();
            for (m, chunk) in chunks.iter().enumerate() {
                let (begins, ends) = (m == 0, m + 1 == chunks.len());
                let header = u8::from(begins) << 7 | u8::from(ends) << 6 | unit[0] & 31;
                let before = [unit[0] & 0xe0 | 28, header];
                self.packet(&mut made, &mut each, time, is_last && ends, &before, chunk);
            }
        }
        Packets { bytes: made.into(), each, is_key, time }
    }

    fn packet(
        &mut self,
        made: &mut Vec<u8>,
        each: &mut Vec<Range<usize>>,
        time: u32,
        marker: bool,
        before: &[u8],
        payload: &[u8],
    ) {
        let start = made.len();
        let length = (HEADER + before.len() + payload.len()) as u16;
        made.extend([b'$', 0]);
        made.extend(length.to_be_bytes());
        made.extend([0x80, u8::from(marker) << 7 | PAYLOAD_TYPE]);
        made.extend(self.sequence.to_be_bytes());
        made.extend(time.to_be_bytes());
        made.extend(self.ssrc.to_be_bytes());
        made.extend(before);
        made.extend(payload);
        each.push(start..made.len());
        self.sequence = self.sequence.wrapping_add(1);
    }
}

/// The parameter sets in a byte stream.
pub fn parameters(stream: &[u8]) -> Option<Parameters> {
    let find = |kind: u8| nal_units(stream).find(|unit| unit[0] & 31 == kind).map(Bytes::copy_from_slice);
    Some(Parameters { sps: find(7).filter(|sps| sps.len() > 3)?, pps: find(8)? })
}

/// The units of a byte stream, without start codes (ITU-T H.264, annex B). None is empty.
fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let next =
        |from: usize| stream[from..].windows(3).position(|three| three == [0, 0, 1]).map(|at| from + at);
    let mut begin = next(0).map(|at| at + 3);
    std::iter::from_fn(move || {
        let start = begin?;
        let code = next(start);
        begin = code.map(|at| at + 3);
        let unit = &stream[start..code.unwrap_or(stream.len())];
        // A unit never ends with zeros; those belong to the next start code.
        Some(&unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)])
    })
    .filter(|unit| !unit.is_empty())
}

/// A sender's report with its name (RFC 3550, 6.4.1 and 6.5): what `time` is by this machine's clock. With `is_last` it
/// says goodbye, too.
pub fn report(ssrc: u32, time: u32, (packets, bytes): (u32, u32), is_last: bool) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut made = vec![0x80, 200, 0, 6];
    made.extend(ssrc.to_be_bytes());
    made.extend(((now.as_secs() + NTP) as u32).to_be_bytes());
    made.extend((((u64::from(now.subsec_nanos())) << 32) / 1_000_000_000).to_be_bytes()[4..].iter());
    for word in [time, packets, bytes] {
        made.extend(word.to_be_bytes());
    }
    // One item, CNAME, padded to whole words by its end.
    made.extend([0x81, 202, 0, 5]);
    made.extend(ssrc.to_be_bytes());
    made.extend([1, 10]);
    made.extend(b"nervelight");
    made.extend([0; 4]);
    if is_last {
        made.extend([0x81, 203, 0, 1]);
        made.extend(ssrc.to_be_bytes());
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_between_start_codes() {
        let stream = [0, 0, 0, 1, 9, 16, 0, 0, 0, 1, 0x67, 66, 0, 31, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 3];
        let units: Vec<_> = nal_units(&stream).collect();
        assert_eq!(units, [&[9, 16][..], &[0x67, 66, 0, 31], &[0x68, 2], &[0x65, 3]]);
        let found = parameters(&stream).unwrap();
        assert_eq!((&found.sps[..], &found.pps[..]), (&[0x67, 66, 0, 31][..], &[0x68, 2][..]));
        assert_eq!(nal_units(&[1, 2, 3]).count() + nal_units(&[0, 0, 1]).count(), 0);
    }

    #[test]
    fn packets_carry_every_byte_once_and_the_marker_ends_a_picture() {
        let mut packer = Packer::new();
        let large: Vec<u8> = (0..5000u32).map(|n| (n % 251 + 1) as u8).collect();
        let mut stream = vec![0, 0, 0, 1, 9, 16, 0, 0, 0, 1, 0x67, 66, 1, 31, 0, 0, 0, 1, 0x65];
        stream.extend(&large);
        let packets = packer.pack(&stream, 2_000_000_000, true);
        let each: Vec<_> = packets.each().collect();
        assert_eq!(each.len(), 5, "the parameter set, and four fragments; no delimiter");
        assert!(each.iter().all(|packet| packet.len() <= PACKET && packet[0] == 0x80));
        assert_eq!(each.iter().map(|packet| packet[1] >> 7).collect::<Vec<_>>(), [0, 0, 0, 0, 1]);
        let numbers: Vec<_> = each.iter().map(|p| u16::from_be_bytes([p[2], p[3]])).collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0].wrapping_add(1)), "{numbers:?}");
        assert_eq!(&each[0][12..], [0x67, 66, 1, 31]);
        let headers: Vec<_> = each[1..].iter().map(|packet| (packet[12], packet[13])).collect();
        assert_eq!(headers, [(0x7c, 0x85), (0x7c, 5), (0x7c, 5), (0x7c, 0x45)]);
        let joined: Vec<u8> = each[1..].iter().flat_map(|packet| &packet[14..]).copied().collect();
        assert_eq!(joined, large);
        let later = packer.pack(&[0, 0, 1, 0x41, 7], 3_000_000_000, false);
        assert_eq!(later.time.wrapping_sub(packets.time), 90_000);
        // Framing for another channel changes nothing else.
        let (zero, two) = (packets.framed(0), packets.framed(2));
        assert_eq!((zero[0], zero[1], two[1], zero.len()), (b'$', 0, 2, two.len()));
        assert_eq!(zero.iter().zip(&two).filter(|(a, b)| a != b).count(), 5);
        let (count, payload) = packets.size();
        assert_eq!((count, payload as usize), (5, 4 + 5000 + 4 * 2));
    }

    #[test]
    fn reports_are_whole_words() {
        for (is_last, length) in [(false, 28 + 24), (true, 28 + 24 + 8)] {
            let report = report(1, 2, (3, 4), is_last);
            assert_eq!(report.len(), length);
            let mut at = 0;
            while at < report.len() {
                at += 4 * (1 + usize::from(u16::from_be_bytes([report[at + 2], report[at + 3]])));
            }
            assert_eq!(at, length);
        }
    }
}

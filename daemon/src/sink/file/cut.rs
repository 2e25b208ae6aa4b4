//! When a recording goes on in its next file: at the IDR before which the file would else become too long or too large.

use crate::config::SegmentLimits;

/// What a container says of a frame besides its unit, in bytes: about as much in MP4, less in Matroska.
const PER_FRAME: u64 = 48;

/// Adds up the units of a file. It expects the frames up to the next IDR to be like those since the last.
pub struct Cut {
    limits: SegmentLimits,
    /// When the first frame of the file is shown, in ns; none before it.
    begun: Option<u64>,
    /// When the last IDR is shown, and the size of the file there.
    last_key: (u64, u64),
    bytes: u64,
    /// The most that came from one IDR to the next.
    largest: u64,
}

impl Cut {
    /// Before the first file.
    pub fn new(limits: SegmentLimits) -> Self {
        Self { limits, begun: None, last_key: (0, 0), bytes: 0, largest: 0 }
    }

    /// Takes in a unit of `size` bytes that is shown `at`. Whether it is the first of the next file; never the first of all.
    pub fn is_before(&mut self, at: u64, is_key: bool, size: usize) -> bool {
        let size = size as u64 + PER_FRAME;
        let mut is_cut = false;
        match self.begun {
            Some(begun) if is_key => {
                let (then, bytes) = self.last_key;
                self.largest = self.largest.max(self.bytes - bytes);
                // Without what a silent source took: it does not say how far the next IDR is.
                let next = at.saturating_add(at.saturating_sub(then));
                let SegmentLimits { length, bytes: most } = self.limits;
                let is_long = length.is_some_and(|most| u128::from(next - begun.min(next)) > most.as_nanos());
                let is_large = most.is_some_and(|most| self.bytes + self.largest > most);
                is_cut = is_long || is_large;
            }
            Some(_) => {}
            None => self.begin(at),
        }
        if is_cut {
            self.begin(at);
        } else if is_key {
            self.last_key = (at, self.bytes);
        }
        self.bytes += size;
        is_cut
    }

    fn begin(&mut self, at: u64) {
        (self.begun, self.last_key, self.bytes) = (Some(at), (at, 0), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The first frames of the files that `frames` frames, 100 ms and 952 bytes each with an IDR every second, are cut into.
    fn cuts(limits: SegmentLimits, frames: u64) -> Vec<u64> {
        let mut cut = Cut::new(limits);
        (0..frames).filter(|n| cut.is_before(n * 100_000_000, n % 10 == 0, 952)).collect()
    }

    #[test]
    fn files_are_as_long_and_as_large_as_they_may_be_and_not_more() {
        let (length, bytes) = (Some(Duration::from_secs(3)), Some(20_500));
        assert!(cuts(SegmentLimits::default(), 1000).is_empty());
        assert_eq!(cuts(SegmentLimits { length, bytes: None }, 100), [30, 60, 90]);
        assert_eq!(cuts(SegmentLimits { length: None, bytes }, 100), [20, 40, 60, 80]);
        assert_eq!(cuts(SegmentLimits { length, bytes }, 50), [20, 40]);
        let short = Some(Duration::from_millis(1500));
        assert_eq!(cuts(SegmentLimits { length: short, bytes: None }, 40), [10, 20, 30]);
        let tiny = SegmentLimits { length: None, bytes: Some(1) };
        assert_eq!(cuts(tiny, 40), [10, 20, 30], "only an IDR begins a file");
    }
}

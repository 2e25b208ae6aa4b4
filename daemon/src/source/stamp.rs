//! Time stamps: every frame leaves its source with a PTS, and with a later one than the frame before. A muxer loses
//! what has none, or ends for good.

use std::time::Instant;

use gst::ClockTime;

/// Least time from one frame to the next: Matroska counts milliseconds.
const STEP: ClockTime = ClockTime::from_mseconds(1);
/// A source whose time goes back by more has begun anew.
const ANEW: ClockTime = ClockTime::SECOND;
/// A frame's time where the source states no rate, as for raw MJPEG in other programs.
const FRAME: ClockTime = ClockTime::from_mseconds(40);

/// Gives frames their time stamps, in their order.
pub struct Stamps {
    /// Frames come at their own pace: their arrival says when they were made.
    is_live: bool,
    last: Option<(ClockTime, Instant)>,
    /// What is added to the source's own time.
    shift: ClockTime,
}

impl Stamps {
    /// For a source of frames, or of a file's where `is_live` is false.
    pub fn new(is_live: bool) -> Self {
        Self { is_live, last: None, shift: ClockTime::ZERO }
    }

    /// The time of the next frame, which came with `pts`, at `arrived`, `fps` frames a second.
    pub fn next(
        &mut self,
        pts: Option<ClockTime>,
        arrived: Instant,
        fps: Option<gst::Fraction>,
    ) -> ClockTime {
        let own = pts.map(|pts| pts + self.shift);
        let pts = match self.last {
            None => own.unwrap_or(ClockTime::ZERO),
            Some((last, at)) => {
                let since = match self.is_live {
                    true => ClockTime::try_from(arrived.saturating_duration_since(at)).unwrap_or(STEP),
                    false => frame_time(fps),
                };
                let due = last + since.max(STEP);
                match own {
                    None => due,
                    Some(own) if own >= last + STEP => own,
                    Some(own) if own + ANEW > last => last + STEP,
                    Some(own) => {
                        self.shift += due - own;
                        due
                    }
                }
            }
        };
        self.last = Some((pts, arrived));
        pts
    }
}

/// How long a frame of a source with this rate is shown.
pub fn frame_time(fps: Option<gst::Fraction>) -> ClockTime {
    let (frames, seconds) = fps.map_or((0, 1), |fps| (fps.numer(), fps.denom()));
    match (u64::try_from(frames), u64::try_from(seconds)) {
        (Ok(frames @ 1..), Ok(seconds @ 1..)) => {
            ClockTime::from_nseconds(seconds * ClockTime::SECOND.nseconds() / frames)
        }
        _ => FRAME,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Times of frames with the PTS given, in ms, that arrive 50 ms after each other.
    fn stamped(is_live: bool, fps: Option<gst::Fraction>, pts: &[Option<u64>]) -> Vec<u64> {
        let (mut stamps, start) = (Stamps::new(is_live), Instant::now());
        let mut next = |(n, pts): (usize, &Option<u64>)| {
            let arrived = start + Duration::from_millis(50 * n as u64);
            stamps.next(pts.map(ClockTime::from_mseconds), arrived, fps).mseconds()
        };
        pts.iter().enumerate().map(&mut next).collect()
    }

    #[test]
    fn a_frame_without_one_gets_a_time() {
        let fps = |fps| Some(gst::Fraction::new(fps, 1));
        assert_eq!(stamped(true, fps(30), &[None, None, None]), [0, 50, 100], "its arrival");
        assert_eq!(stamped(true, None, &[Some(700), None, Some(760)]), [700, 750, 760]);
        assert_eq!(stamped(false, fps(10), &[Some(0), None, None]), [0, 100, 200], "the file's rate");
        for unknown in [None, fps(0)] {
            assert_eq!(stamped(false, unknown, &[None, None, None]), [0, 40, 80]);
        }
    }

    #[test]
    fn time_stamps_increase() {
        assert_eq!(stamped(false, None, &[Some(0), Some(33), Some(66)]), [0, 33, 66], "good ones stay");
        assert_eq!(stamped(true, None, &[Some(0), Some(0), Some(33), Some(20)]), [0, 1, 33, 34]);
        let (mut stamps, now) = (Stamps::new(true), Instant::now());
        let mut next = |micros| stamps.next(Some(ClockTime::from_useconds(micros)), now, None).useconds();
        assert_eq!([next(0), next(400), next(2100)], [0, 1000, 2100], "no two in a millisecond");
        // A camera that starts again begins at 0.
        assert_eq!(stamped(true, None, &[Some(9000), Some(0), Some(33)]), [9000, 9050, 9083]);
    }
}

//! The sender's clock on the source's time line. Frames keep the sender's distances; its clock may drift, jump, or be
//! wrong by years.

use std::time::{Duration, Instant};

use gst::ClockTime;

/// A sender's time that is further from the arrivals is a clock that was set.
const JUMP: i64 = 1_000_000_000;
/// What is taken off the difference to the arrivals with each frame: one part in so many.
const SLEW: i64 = 256;

/// Where the sender's time is on the time line, which begins with the first frame.
#[derive(Debug, Default)]
pub struct Clock {
    /// The first frame's arrival, and what is added to the sender's times, in ns.
    line: Option<(Instant, i64)>,
}

impl Clock {
    /// The time of a picture that was made at `sent` since 1970, and `arrived`.
    pub fn place(&mut self, sent: Duration, arrived: Instant) -> ClockTime {
        // 32 bits of seconds fit.
        let sent = sent.as_nanos() as i64;
        let (begun, shift) = self.line.get_or_insert((arrived, -sent));
        let due = arrived.saturating_duration_since(*begun).as_nanos() as i64;
        let late = due - (sent + *shift);
        *shift += if late.abs() > JUMP { late } else { late / SLEW };
        ClockTime::from_nseconds(u64::try_from(sent + *shift).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_distances_are_kept_and_its_jumps_are_not() {
        let (mut clock, start, epoch) =
            (Clock::default(), Instant::now(), Duration::from_secs(1_700_000_000));
        let mut place = |sent, arrived| {
            let at = clock.place(epoch + Duration::from_millis(sent), start + Duration::from_millis(arrived));
            at.useconds() as f64 / 1000.0
        };
        assert_eq!(place(0, 0), 0.0);
        assert!((place(40, 45) - 40.0).abs() < 0.1, "the network's delay is not the picture's");
        assert!((place(80, 80) - 80.0).abs() < 0.1);
        assert_eq!(place(3_600_000, 120), 120.0, "the clock was set");
        assert!((place(3_600_040, 165) - 160.0).abs() < 0.1);
        assert_eq!(place(0, 200), 200.0, "and set back");
    }

    #[test]
    fn drift_does_not_add_up() {
        let (mut clock, start, epoch) = (Clock::default(), Instant::now(), Duration::from_secs(1));
        // An hour of 25 frames a second, from a clock that is fast by one in a thousand.
        let worst = (0..90_000u64).map(|n| {
            let at =
                clock.place(epoch + Duration::from_micros(40_040 * n), start + Duration::from_millis(40 * n));
            (at.useconds() as i64 - 40_000 * n as i64).abs()
        });
        assert!(worst.max() < Some(20_000));
    }
}

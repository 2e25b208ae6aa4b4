//! When a picture was made: the sender's time, placed on the clock of this machine.
//!
//! The least time on the way that was ever seen counts as none. What a picture takes beyond it is its lag: a burst after a
//! stall gets the times at which its pictures were made, and pictures that stay late are known for what they are.

use std::time::Duration;

/// The clocks of sender and cart may part by so much of the time that passes: some senders count frames.
const DRIFT: u32 = 100;
/// A gap in arrivals that may leave the stream late for good.
const STALL: Duration = Duration::from_millis(300);
/// How long a stream may take to catch up after one.
const PATIENCE: Duration = Duration::from_secs(3);
/// Lag that has to be gone by then.
const LATE: Duration = Duration::from_millis(80);
/// No picture is later: the sender has set its clock.
const LONGEST: Duration = Duration::from_secs(20);

/// Places a sender's pictures in time.
#[derive(Debug, Default)]
pub struct Clock {
    /// Arrival less the sender's time, at its least, in ns.
    offset: Option<i128>,
    last: Duration,
    /// After a stall: its end, and the least lag since a moment ago.
    stalled: Option<(Duration, Duration)>,
}

/// A picture in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// When it was made.
    pub at: Duration,
    /// The stream did not catch up after a stall: its pictures come late now, each of them.
    pub is_behind: bool,
}

impl Clock {
    /// Places a picture of the sender's time `sent`, in ns, that arrived at `arrived`.
    pub fn place(&mut self, sent: i128, arrived: Duration) -> Placed {
        let took = arrived.as_nanos() as i128 - sent;
        let gap = arrived.saturating_sub(self.last);
        self.last = arrived;
        let drifted = self.offset.map(|offset| offset + (gap / DRIFT).as_nanos() as i128);
        let longest = LONGEST.as_nanos() as i128;
        let offset = drifted.filter(|offset| took - offset < longest).map_or(took, |offset| offset.min(took));
        if self.offset.is_some() && gap >= STALL {
            self.stalled = Some((arrived, Duration::MAX));
        }
        self.offset = Some(offset);
        let lag = Duration::from_nanos(u64::try_from(took - offset).unwrap_or(u64::MAX));
        Placed { at: arrived.saturating_sub(lag), is_behind: self.is_behind(lag, arrived) }
    }

    fn is_behind(&mut self, lag: Duration, arrived: Duration) -> bool {
        let Some((since, least)) = &mut self.stalled else { return false };
        *least = lag.min(*least);
        if *least < LATE {
            self.stalled = None;
            return false;
        }
        arrived.saturating_sub(*since) >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 33;

    fn place(clock: &mut Clock, sent: u64, arrived: u64) -> Placed {
        clock.place(i128::from(sent) * 1_000_000, Duration::from_millis(arrived))
    }

    /// A clock that has seen a second of pictures which took 5 ms.
    fn running() -> Clock {
        let mut clock = Clock::default();
        for n in 0..30 {
            place(&mut clock, n * FRAME, 1005 + n * FRAME);
        }
        clock
    }

    #[test]
    fn jitter_is_smoothed_and_a_burst_keeps_its_times() {
        let mut clock = running();
        let placed = place(&mut clock, 1000, 2025);
        assert!(placed.at.abs_diff(Duration::from_millis(2005)) < Duration::from_millis(2), "{placed:?}");
        // A second without any, and then all of them.
        for n in 0..30 {
            let placed = place(&mut clock, 1033 + n * FRAME, 3100);
            assert!(placed.at.abs_diff(Duration::from_millis(2038 + n * FRAME)) < Duration::from_millis(20));
            assert!(!placed.is_behind);
        }
    }

    #[test]
    fn a_stream_that_stays_late_after_a_stall_is_behind() {
        let mut clock = running();
        // It goes on where it was, a second later.
        let said: Vec<_> =
            (0..150).map(|n| place(&mut clock, 1000 + n * FRAME, 3005 + n * FRAME).is_behind).collect();
        let first = said.iter().position(|behind| *behind).unwrap() as u64;
        assert!((2900..3200).contains(&(first * FRAME)), "{first}");
        // One that catches up is not.
        let mut clock = running();
        for n in 0..300 {
            assert!(!place(&mut clock, 1000 + n * FRAME, (3005 + n * 20).max(2005 + n * FRAME)).is_behind);
        }
    }

    #[test]
    fn a_sender_that_counts_frames_is_not_late() {
        let mut clock = running();
        // 30 frames a second by its own count, 29.97 by any clock.
        for n in 0..100_000_u64 {
            let placed = place(&mut clock, 1000 + n * 1000 / 30, 2005 + n * 1001 / 30);
            assert!(!placed.is_behind);
            assert!(
                placed.at.abs_diff(Duration::from_millis(2005 + n * 1001 / 30)) < Duration::from_millis(20)
            );
        }
    }

    #[test]
    fn a_sender_may_set_its_clock() {
        let mut clock = running();
        let ahead = place(&mut clock, 900_000, 2000);
        assert_eq!(ahead.at, Duration::from_millis(2000));
        let back = place(&mut clock, 0, 2033);
        assert_eq!(back.at, Duration::from_millis(2033));
    }
}

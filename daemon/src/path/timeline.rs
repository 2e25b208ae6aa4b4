//! The frames' time line. It is the daemon's, and outlasts every source: a source that begins again at 0 never sends a
//! sink back in time.

use std::time::Instant;

use gst::ClockTime;

/// Least time from one frame to the next: Matroska counts milliseconds.
const STEP: ClockTime = ClockTime::from_mseconds(1);

/// Places frames in time, each later than the last.
#[derive(Default)]
pub struct Timeline {
    /// The last frame's time, its end, and when it arrived.
    last: Option<(ClockTime, ClockTime, Instant)>,
    /// What is added to the source's own times, in ns; none until the source's first frame.
    shift: Option<i64>,
}

impl Timeline {
    /// The next frame comes from another source.
    pub fn change_source(&mut self) {
        self.shift = None;
    }

    /// The time of a frame that its source gave the time `own`, shown for `duration`.
    pub fn place(
        &mut self,
        own: Option<ClockTime>,
        duration: Option<ClockTime>,
        arrived: Instant,
    ) -> ClockTime {
        let due = self.now(arrived);
        let at = match own.map(|own| (own, self.shifted(own))) {
            None => due,
            Some((_, Some(at))) if at >= self.earliest() => at,
            // The source's first frame, or one in whose place NO SIGNAL was shown.
            Some((own, _)) => {
                let at = if self.last.is_none() { own } else { due };
                self.shift = Some(at.nseconds() as i64 - own.nseconds() as i64);
                at
            }
        };
        self.last = Some((at, at + duration.unwrap_or(ClockTime::ZERO), arrived));
        at
    }

    /// The time of a frame that comes from no source.
    pub fn insert(&mut self, now: Instant) -> ClockTime {
        let at = self.now(now);
        self.last = Some((at, at + STEP, now));
        at
    }

    fn shifted(&self, own: ClockTime) -> Option<ClockTime> {
        let at = (own.nseconds() as i64).checked_add(self.shift?)?;
        u64::try_from(at).ok().map(ClockTime::from_nseconds)
    }

    /// Where the time line is at `now`.
    fn now(&self, now: Instant) -> ClockTime {
        match self.last {
            None => ClockTime::ZERO,
            Some((_, end, arrived)) => {
                let since = ClockTime::try_from(now.saturating_duration_since(arrived)).unwrap_or(STEP);
                (end + since).max(self.earliest())
            }
        }
    }

    fn earliest(&self) -> ClockTime {
        self.last.map_or(ClockTime::ZERO, |(at, ..)| at + STEP)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FRAME: Option<ClockTime> = Some(ClockTime::from_mseconds(33));

    fn ms(ms: u64) -> Option<ClockTime> {
        Some(ClockTime::from_mseconds(ms))
    }

    #[test]
    fn one_source_keeps_its_own_times() {
        let (mut line, start) = (Timeline::default(), Instant::now());
        for (n, at) in [500, 533, 566, 700].into_iter().enumerate() {
            let arrived = start + Duration::from_millis(7 * n as u64);
            assert_eq!(line.place(ms(at), FRAME, arrived), ClockTime::from_mseconds(at));
        }
    }

    #[test]
    fn a_source_that_begins_again_goes_on_where_the_last_one_ended() {
        let (mut line, start) = (Timeline::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(line.place(ms(0), FRAME, at(0)).mseconds(), 0);
        assert_eq!(line.place(ms(9000), FRAME, at(9000)).mseconds(), 9000);
        line.change_source();
        assert_eq!(
            line.place(ms(0), FRAME, at(11_000)).mseconds(),
            11_033,
            "two seconds later, and never back"
        );
        assert_eq!(line.place(ms(40), FRAME, at(11_040)).mseconds(), 11_073, "at the new source's pace");
        line.change_source();
        let far = line.place(ms(86_400_000), FRAME, at(11_140)).mseconds();
        assert_eq!(far, 11_206, "a source that begins late leaves no gap");
    }

    #[test]
    fn what_is_inserted_and_what_comes_after_never_goes_back() {
        let (mut line, start) = (Timeline::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut times =
            vec![line.insert(at(1000)), line.insert(at(1100)), line.place(ms(0), FRAME, at(1200))];
        times.push(line.place(ms(33), FRAME, at(1233)));
        times.extend((0..10).map(|n| line.insert(at(2233 + 100 * n))));
        // Its own clock says that less time has passed.
        times.push(line.place(ms(900), FRAME, at(3300)));
        times.push(line.place(ms(933), FRAME, at(3333)));
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        let step = times[times.len() - 1] - times[times.len() - 2];
        assert_eq!(step.mseconds(), 33);
    }
}

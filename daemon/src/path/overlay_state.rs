//! Whether a frame carries the mask: the only place that decides.

use std::time::{Duration, Instant};

use crate::frame::OverlayState;

/// An overlay that went stale comes back after masks were fresh for so long: an engine that is a little too slow would
/// show the nerve on every other frame.
const STEADY: Duration = Duration::from_secs(1);

/// What is known of one frame.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// When it arrived.
    pub arrived: Instant,
    /// Somebody wants the overlay.
    pub enabled: bool,
    /// The engine's last answer was an error, it hangs, or the frame is smaller than the crop.
    pub fails: bool,
    /// When the frame of the newest mask arrived; none without a mask.
    pub mask_of: Option<Instant>,
}

/// Decides frame by frame.
pub struct OverlayJudge {
    max_mask_age: Duration,
    /// When the newest mask was last too old.
    stale: Option<Instant>,
}

impl OverlayJudge {
    /// Masks older than `max_mask_age` are not shown.
    pub fn new(max_mask_age: Duration) -> Self {
        Self { max_mask_age, stale: None }
    }

    /// What the overlay shows on a frame.
    pub fn overlay_state(&mut self, facts: Facts) -> OverlayState {
        let Facts { arrived, enabled, fails, mask_of } = facts;
        let Some(of) = mask_of.filter(|_| !fails) else {
            return if enabled { OverlayState::Off } else { OverlayState::Disabled };
        };
        if arrived.saturating_duration_since(of) > self.max_mask_age {
            self.stale = Some(arrived);
        }
        let is_steady = self.stale.is_none_or(|at| arrived.saturating_duration_since(at) >= STEADY);
        if is_steady {
            self.stale = None;
        }
        match (enabled, is_steady) {
            (false, _) => OverlayState::Disabled,
            (true, true) => OverlayState::On,
            (true, false) => OverlayState::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(ages: impl IntoIterator<Item = u64>) -> Vec<OverlayState> {
        let mut judge = OverlayJudge::new(Duration::from_millis(200));
        let start = Instant::now() + Duration::from_secs(10);
        let of = |(n, age): (usize, u64)| {
            let arrived = start + Duration::from_millis(33 * n as u64);
            let mask_of = Some(arrived - Duration::from_millis(age));
            judge.overlay_state(Facts { arrived, enabled: true, fails: false, mask_of })
        };
        ages.into_iter().enumerate().map(of).collect()
    }

    #[test]
    fn an_engine_that_is_a_little_too_slow_does_not_flicker() {
        use OverlayState::{On, Stale};
        // It takes 165 ms, so that the mask is 165 to 330 ms old.
        let shown = states((0..300).map(|n| 165 + n % 6 * 33));
        let changes = shown.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((shown[0], shown[299], changes), (On, Stale, 1), "it goes stale once, and stays so");
    }

    #[test]
    fn one_late_mask_costs_a_second() {
        use OverlayState::{On, Stale};
        let shown = states((0..60).map(|n| if n == 10 { 201 } else { 40 }));
        assert_eq!((shown[9], shown[10], shown[39], shown[42]), (On, Stale, Stale, On));
    }

    #[test]
    fn failures_and_switches_come_first() {
        let mut judge = OverlayJudge::new(Duration::from_millis(200));
        let arrived = Instant::now();
        let facts = Facts { arrived, enabled: true, fails: false, mask_of: Some(arrived) };
        assert_eq!(judge.overlay_state(facts), OverlayState::On);
        assert_eq!(judge.overlay_state(Facts { mask_of: None, ..facts }), OverlayState::Off);
        assert_eq!(judge.overlay_state(Facts { fails: true, ..facts }), OverlayState::Off);
        assert_eq!(judge.overlay_state(Facts { enabled: false, ..facts }), OverlayState::Disabled);
        assert_eq!(
            judge.overlay_state(Facts { enabled: false, fails: true, ..facts }),
            OverlayState::Disabled
        );
    }
}

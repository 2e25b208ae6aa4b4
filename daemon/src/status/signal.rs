//! What the signal did over the run: how often it came to each state, and for how long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::frame::SignalState;

/// Counts states as the supervisor hears of them.
pub struct SignalLog {
    state: SignalState,
    since: Instant,
    /// In the order of [`SignalState::ALL`]: times that each began, and what the finished ones took.
    states: [(u64, Duration); SignalState::ALL.len()],
}

/// What the signal is doing and has done.
#[derive(Debug, Clone, Serialize)]
pub struct SignalFigures {
    /// The state.
    pub state: SignalState,
    /// How long it has been so.
    pub since_s: f64,
    /// How often each state began, of those that did.
    pub entered: BTreeMap<&'static str, u64>,
    /// How long each state was, in seconds.
    pub seconds: BTreeMap<&'static str, f64>,
}

impl SignalLog {
    /// Nothing has come at `now`.
    pub fn new(now: Instant) -> Self {
        let mut log = Self { state: SignalState::Waiting, since: now, states: Default::default() };
        log.states[log.state as usize].0 = 1;
        log
    }

    /// The state.
    pub fn state(&self) -> SignalState {
        self.state
    }

    /// It is another from `now` on.
    pub fn enter(&mut self, state: SignalState, now: Instant) {
        self.states[self.state as usize].1 += now.saturating_duration_since(self.since);
        self.states[state as usize].0 += 1;
        (self.state, self.since) = (state, now);
    }

    /// The figures at `now`.
    pub fn figures(&self, now: Instant) -> SignalFigures {
        let round = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
        let since = now.saturating_duration_since(self.since);
        let (mut entered, mut seconds) = (BTreeMap::new(), BTreeMap::new());
        for (state, (times, took)) in SignalState::ALL.into_iter().zip(self.states) {
            if times > 0 {
                let present = if state == self.state { since } else { Duration::ZERO };
                entered.insert(state.name(), times);
                seconds.insert(state.name(), round(took + present));
            }
        }
        SignalFigures { state: self.state, since_s: round(since), entered, seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_counted_and_timed() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut log = SignalLog::new(start);
        log.enter(SignalState::Ok, at(2));
        log.enter(SignalState::Frozen, at(12));
        log.enter(SignalState::Ok, at(15));
        let figures = log.figures(at(20));
        assert_eq!((figures.state, figures.since_s), (SignalState::Ok, 5.0));
        assert_eq!(figures.entered, BTreeMap::from([("waiting", 1), ("ok", 2), ("frozen", 1)]));
        assert_eq!(figures.seconds, BTreeMap::from([("waiting", 2.0), ("ok", 15.0), ("frozen", 3.0)]));
        for (n, state) in SignalState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, n, "{} is in its place", state.name());
        }
    }
}

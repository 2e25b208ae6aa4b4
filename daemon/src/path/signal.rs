//! What the signal is doing: a pure state machine that is fed (instant, luma statistics) and the passing of time.

use std::time::{Duration, Instant};

use crate::frame::{LumaStatistics, SignalState};

/// A source that is silent for longer has no signal.
const SILENCE: Duration = Duration::from_secs(1);

/// The state machine. It knows no clock: every instant is given.
pub struct Signal {
    state: SignalState,
    /// When the last frame came, or the wait began.
    heard: Instant,
    luma: LumaStatistics,
}

impl Signal {
    /// Nothing has come at `begun`.
    pub fn new(begun: Instant) -> Self {
        Self { state: SignalState::Waiting, heard: begun, luma: LumaStatistics::default() }
    }

    /// A frame came at `at`. Returns the state.
    pub fn frame(&mut self, at: Instant, luma: LumaStatistics) -> SignalState {
        (self.state, self.heard, self.luma) = (SignalState::Ok, at, luma);
        self.state
    }

    /// It is `now`, and no frame has come. Returns the state.
    pub fn silence(&mut self, now: Instant) -> SignalState {
        if now.saturating_duration_since(self.heard) > SILENCE {
            self.state = SignalState::NoSignal;
        }
        self.state
    }

    /// The state.
    pub fn state(&self) -> SignalState {
        self.state
    }

    /// The luma of the last frame.
    pub fn luma(&self) -> LumaStatistics {
        self.luma
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_signal_until_a_frame_comes() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut signal = Signal::new(start);
        assert_eq!(signal.silence(at(1000)), SignalState::Waiting, "a second is not too long");
        assert_eq!(signal.silence(at(1001)), SignalState::NoSignal, "without a first frame, too");
        assert_eq!(signal.frame(at(1500), LumaStatistics::default()), SignalState::Ok);
        assert_eq!(signal.silence(at(2500)), SignalState::Ok);
        assert_eq!(signal.silence(at(2501)), SignalState::NoSignal);
        assert_eq!(signal.silence(at(2400)), SignalState::NoSignal, "only a frame ends it");
        assert_eq!(signal.frame(at(2600), LumaStatistics::default()), SignalState::Ok);
    }
}

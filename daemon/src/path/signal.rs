//! What the signal is doing: a pure state machine that is fed what was seen of each frame, what the driver says, and the
//! passing of time. It is drawn in `docs/architecture.md`.

use std::time::{Duration, Instant};

use crate::frame::{InputStatus, LumaStatistics, SignalState};
use crate::path::observer::{Kind, Observation};

/// A source that is silent for longer has no signal.
const SILENCE: Duration = Duration::from_secs(1);
/// A picture counts as black, or as the card's own, once it was for so long.
const APPEARS: Duration = Duration::from_millis(300);
/// It counts so no more once it was not for so long: a picture that flickers does not make words flicker.
const LEAVES: Duration = Duration::from_millis(100);
/// A picture that stood still for so long is frozen. Scanners draw three pictures a second at least.
const STILL: Duration = Duration::from_millis(400);
/// Frames that stood still meanwhile, at least.
const STILL_FRAMES: u32 = 3;
/// Two changes within so long are a picture that moves; one alone is a step of the cine.
const MOVES: Duration = Duration::from_millis(500);
/// Part of the pixels that changes at most while a picture stands still: clocks, cursors, calipers.
const CALM: f32 = 0.005;
/// Part of the pixels that changes at least where a picture moves.
const MOTION: f32 = 0.02;
/// A changed geometry is pointed out until nothing has changed for so long.
const SETTLES: Duration = Duration::from_secs(3);

/// The state machine. It knows no clock: every instant is given.
pub struct Signal {
    state: SignalState,
    /// When the last frame came, or the wait began.
    heard: Instant,
    luma: LumaStatistics,
    input: InputStatus,
    shown: Shown,
    motion: Motion,
    /// When the geometry changed last.
    changed: Option<Instant>,
}

impl Signal {
    /// Nothing has come at `begun`.
    pub fn new(begun: Instant) -> Self {
        Self {
            state: SignalState::Waiting,
            heard: begun,
            luma: LumaStatistics::default(),
            input: InputStatus::Unknown,
            shown: Shown::default(),
            motion: Motion::default(),
            changed: None,
        }
    }

    /// A frame came at `at`. Returns the state.
    pub fn frame(&mut self, at: Instant, seen: Observation) -> SignalState {
        (self.heard, self.luma) = (at, seen.luma);
        let kind = self.shown.look(at, seen.kind);
        if let Some(changed) = seen.changed {
            self.motion.look(at, changed);
        }
        let has_settled = self.changed.is_none_or(|changed| at.saturating_duration_since(changed) >= SETTLES);
        let has_input = matches!(self.input, InputStatus::Unknown | InputStatus::Present);
        self.state = match () {
            () if !has_input => SignalState::NoInput,
            () if kind == Kind::Black => SignalState::Black,
            () if kind == Kind::Card => SignalState::NoInput,
            () if !has_settled => SignalState::GeometryChanged,
            () if self.motion.is_frozen => SignalState::Frozen,
            () => SignalState::Ok,
        };
        if !self.state.has_picture() {
            // What comes afterwards has not moved yet.
            self.motion = Motion::default();
        }
        self.state
    }

    /// It is `now`, and no frame has come. Returns the state.
    pub fn silence(&mut self, now: Instant) -> SignalState {
        if now.saturating_duration_since(self.heard) > SILENCE {
            self.state = SignalState::NoSignal;
            (self.shown, self.motion) = Default::default();
        }
        self.state
    }

    /// The driver says this of its input, from the next frame on.
    pub fn input(&mut self, status: InputStatus) {
        self.input = status;
    }

    /// Size, format or place of the picture changed at `at`.
    pub fn geometry(&mut self, at: Instant) {
        self.changed = Some(at);
        self.motion = Motion::default();
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

/// What kind of picture is shown, with hysteresis.
#[derive(Default)]
struct Shown {
    kind: Kind,
    /// Another kind, and since when it is seen without a break.
    other: Option<(Kind, Instant)>,
}

impl Shown {
    fn look(&mut self, at: Instant, seen: Kind) -> Kind {
        if seen == self.kind {
            self.other = None;
            return self.kind;
        }
        let since = self.other.filter(|(kind, _)| *kind == seen).map_or(at, |(_, since)| since);
        self.other = Some((seen, since));
        let wait = if seen == Kind::Scene { LEAVES } else { APPEARS };
        if at.saturating_duration_since(since) >= wait {
            (self.kind, self.other) = (seen, None);
        }
        self.kind
    }
}

/// Whether a picture that moved stands still.
#[derive(Default)]
struct Motion {
    /// It moved.
    is_live: bool,
    is_frozen: bool,
    /// Since when nothing moves, and how many frames that was.
    still: Option<(Instant, u32)>,
    /// When it changed last.
    moved: Option<Instant>,
}

impl Motion {
    fn look(&mut self, at: Instant, changed: f32) {
        if changed > MOTION {
            if self.moved.is_some_and(|moved| at.saturating_duration_since(moved) <= MOVES) {
                (self.is_live, self.is_frozen) = (true, false);
            }
            (self.moved, self.still) = (Some(at), None);
        } else if changed > CALM {
            self.still = None;
        } else {
            let (since, frames) = self.still.unwrap_or((at, 0));
            self.still = Some((since, frames + 1));
            let is_long = at.saturating_duration_since(since) >= STILL && frames >= STILL_FRAMES;
            self.is_frozen |= self.is_live && is_long;
        }
    }
}

#[cfg(test)]
mod tests;

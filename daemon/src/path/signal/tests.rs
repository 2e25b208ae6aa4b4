//! Transition by transition, with a clock of their own.

use super::*;

const FRAME: u64 = 33;

/// A signal and its clock.
struct Clock {
    signal: Signal,
    start: Instant,
    ms: u64,
}

const LIVE: Observation = seen(Kind::Scene, 0.4);
const STILL_PICTURE: Observation = seen(Kind::Scene, 0.0);
const BLACK: Observation = seen(Kind::Black, 0.0);
const CARD: Observation = seen(Kind::Card, 0.0);

const fn seen(kind: Kind, changed: f32) -> Observation {
    Observation { luma: LumaStatistics { mean: 60.0, deviation: 30.0 }, changed: Some(changed), kind }
}

impl Clock {
    fn new() -> Self {
        let start = Instant::now();
        Self { signal: Signal::new(start), start, ms: 0 }
    }

    /// One that has shown a living picture for a second.
    fn live() -> Self {
        let mut clock = Self::new();
        assert_eq!(clock.frames(1000, |_| LIVE).last(), Some(&(SignalState::Ok, 0)));
        clock
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    fn one(&mut self, seen: Observation) -> SignalState {
        self.ms += FRAME;
        let now = self.now();
        self.signal.frame(now, seen)
    }

    /// Frames for `ms`; `of` says what is seen after so many ms. Returns each new state and after how many ms it came.
    fn frames(&mut self, ms: u64, of: impl Fn(u64) -> Observation) -> Vec<(SignalState, u64)> {
        let begun = self.ms;
        let mut states: Vec<(SignalState, u64)> = vec![];
        while self.ms < begun + ms {
            let after = self.ms - begun;
            let state = self.one(of(after));
            if states.last().is_none_or(|(last, _)| *last != state) {
                states.push((state, after));
            }
        }
        states
    }

    /// How long it took to get to `state`, and to nothing else on the way.
    fn reaches(&mut self, state: SignalState, of: impl Fn(u64) -> Observation) -> u64 {
        let states = self.frames(2000, of);
        assert!(states.len() <= 2 && states.last().unwrap().0 == state, "{states:?}");
        states.last().unwrap().1
    }
}

#[test]
fn silence_is_no_signal_until_a_frame_comes() {
    let mut clock = Clock::new();
    let at = |ms| clock.start + Duration::from_millis(ms);
    let signal = &mut clock.signal;
    assert_eq!(signal.silence(at(1000)), SignalState::Waiting, "a second is not too long");
    assert_eq!(signal.silence(at(1001)), SignalState::NoSignal, "without a first frame, too");
    assert_eq!(signal.frame(at(1500), LIVE), SignalState::Ok);
    assert_eq!(signal.silence(at(2500)), SignalState::Ok);
    assert_eq!(signal.silence(at(2501)), SignalState::NoSignal);
    assert_eq!(signal.silence(at(2400)), SignalState::NoSignal, "only a frame ends it");
    assert_eq!(signal.frame(at(2600), LIVE), SignalState::Ok);
}

#[test]
fn each_state_is_found_within_half_a_second_and_left_by_itself() {
    for (state, picture) in
        [(SignalState::Frozen, STILL_PICTURE), (SignalState::Black, BLACK), (SignalState::NoInput, CARD)]
    {
        let mut clock = Clock::live();
        let found = clock.reaches(state, |_| picture);
        assert!((200..=500).contains(&found), "{state:?} after {found} ms");
        let left = clock.reaches(SignalState::Ok, |_| LIVE);
        assert!(left <= 200, "{state:?} is left after {left} ms");
    }
}

#[test]
fn every_state_follows_every_other() {
    use SignalState::{Black, Frozen, NoInput, NoSignal, Ok};
    for before in [BLACK, CARD, LIVE, STILL_PICTURE] {
        for (after, expected) in [(BLACK, Black), (CARD, NoInput), (LIVE, Ok)] {
            let mut clock = Clock::live();
            clock.frames(1000, |_| before);
            let found = clock.frames(1000, |_| after);
            assert_eq!(found.last().unwrap().0, expected, "{before:?} {after:?} {found:?}");
            assert!(found.len() <= 2 && found.last().unwrap().1 <= 500, "{before:?} {after:?} {found:?}");
        }
        let mut clock = Clock::live();
        clock.frames(1000, |_| before);
        clock.ms += 1001;
        let now = clock.now();
        assert_eq!(clock.signal.silence(now), NoSignal);
        assert_eq!(clock.one(before), Ok, "the first frame says little");
    }
    let mut clock = Clock::live();
    clock.frames(1000, |_| STILL_PICTURE);
    assert_eq!(clock.signal.state(), Frozen);
}

#[test]
fn a_picture_that_never_moved_is_not_frozen() {
    let mut clock = Clock::new();
    assert_eq!(clock.frames(3000, |_| STILL_PICTURE), [(SignalState::Ok, 0)], "a menu");
    // A menu that opens once is none, either.
    clock.one(LIVE);
    assert_eq!(clock.frames(3000, |_| STILL_PICTURE), [(SignalState::Ok, 0)]);
    let mut clock = Clock::live();
    clock.frames(1000, |_| BLACK);
    let after = clock.frames(2000, |_| STILL_PICTURE);
    assert_eq!(after.last().unwrap().0, SignalState::Ok, "what comes after black has not moved yet");
}

#[test]
fn a_slow_scanner_on_a_fast_cable_is_not_frozen() {
    let mut clock = Clock::live();
    // A new picture every 330 ms, ten copies of each.
    let slow = |ms: u64| if (ms / FRAME).is_multiple_of(10) { LIVE } else { STILL_PICTURE };
    assert_eq!(clock.frames(10_000, slow), [(SignalState::Ok, 0)]);
}

#[test]
fn clocks_calipers_and_single_steps_leave_a_frozen_picture_frozen() {
    let mut clock = Clock::live();
    clock.reaches(SignalState::Frozen, |_| STILL_PICTURE);
    let caliper = |_| seen(Kind::Scene, 0.01);
    assert_eq!(clock.frames(2000, caliper), [(SignalState::Frozen, 0)]);
    let steps = |ms: u64| if (ms / FRAME).is_multiple_of(20) { LIVE } else { STILL_PICTURE };
    assert_eq!(clock.frames(5000, steps), [(SignalState::Frozen, 0)], "a step of the cine every 660 ms");
    assert_eq!(clock.frames(5000, |_| LIVE).last().unwrap().0, SignalState::Ok);
}

#[test]
fn a_picture_between_still_and_moving_keeps_its_state() {
    let mut clock = Clock::live();
    assert_eq!(clock.frames(5000, |_| seen(Kind::Scene, 0.015)), [(SignalState::Ok, 0)]);
    clock.reaches(SignalState::Frozen, |_| STILL_PICTURE);
    assert_eq!(clock.frames(5000, |_| seen(Kind::Scene, 0.015)), [(SignalState::Frozen, 0)]);
}

#[test]
fn flicker_makes_no_words_flicker() {
    for other in [BLACK, CARD] {
        let mut clock = Clock::live();
        let flicker = |ms: u64| if ms / FRAME % 4 < 2 { other } else { LIVE };
        assert_eq!(clock.frames(5000, flicker), [(SignalState::Ok, 0)]);
        clock.frames(1000, |_| other);
        let state = clock.signal.state();
        assert_eq!(clock.frames(5000, flicker), [(state, 0)], "two frames of a picture do not end it");
    }
}

#[test]
fn a_changed_geometry_is_pointed_out_until_it_has_settled() {
    let mut clock = Clock::live();
    let now = clock.now();
    clock.signal.geometry(now);
    assert_eq!(clock.one(LIVE), SignalState::GeometryChanged, "at once");
    let states = clock.frames(4000, |_| LIVE);
    assert_eq!(states.last().unwrap().0, SignalState::Ok);
    assert!((2900..3050).contains(&states[1].1), "{states:?}");
    // Again before it has settled: the three seconds begin anew.
    let now = clock.now();
    clock.signal.geometry(now);
    clock.frames(2000, |_| LIVE);
    let now = clock.now();
    clock.signal.geometry(now);
    let states = clock.frames(4000, |_| LIVE);
    assert!(states[1].1 > 2900, "{states:?}");
    // Black comes first.
    let now = clock.now();
    clock.signal.geometry(now);
    assert!(clock.frames(1000, |_| BLACK).contains(&(SignalState::Black, 10 * FRAME)));
}

#[test]
fn the_drivers_word_comes_first() {
    let mut clock = Clock::live();
    for bad in [InputStatus::NoSignal, InputStatus::NoPower, InputStatus::NoLock, InputStatus::OutOfRange] {
        for picture in [LIVE, STILL_PICTURE, BLACK] {
            clock.signal.input(bad);
            assert_eq!(clock.one(picture), SignalState::NoInput, "{bad:?}");
        }
        clock.signal.input(InputStatus::Present);
        assert_eq!(clock.one(LIVE), SignalState::Ok);
    }
    clock.signal.input(InputStatus::NoSignal);
    clock.ms += 1001;
    let now = clock.now();
    assert_eq!(clock.signal.silence(now), SignalState::NoSignal, "a card that sends nothing");
}

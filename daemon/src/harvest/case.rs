//! Cases: who might be one patient stays together.
//!
//! A cart knows no patients. A case is what came without a pause, in which no picture moved, of `case_gap_min`. It may hold
//! two patients who came one after the other; one patient is in two cases only after a pause. So a split by cases never
//! trains on the pictures that it judges by.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::harvest::item::random_name;

/// Bytes of a case's name.
const NAME: usize = 8;

/// What is kept of the present case, so that a restart goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its name.
    pub case: String,
    /// Milliseconds since it began.
    pub ms: u64,
    /// When that was, in seconds since 1970.
    pub at: u64,
}

/// The present case.
pub struct Case {
    gap: Duration,
    name: String,
    /// Where its time began, and how much of it had passed then.
    begun: Instant,
    before: Duration,
    /// When a picture moved last.
    moved: Instant,
}

impl Case {
    /// Goes on with the case of the `note` if its pause is not over at `now`, else begins one.
    pub fn resume(note: Option<Note>, gap: Duration, now: Instant, wall: SystemTime) -> Self {
        let mut case = Self { gap, name: random_name(NAME), begun: now, before: Duration::ZERO, moved: now };
        if let Some(note) = note {
            // A clock that was set back makes no patient another one.
            let pause = Duration::from_secs(seconds(wall).saturating_sub(note.at));
            if pause < gap {
                case.name = note.case;
                case.before = Duration::from_millis(note.ms) + pause;
                case.moved = now.checked_sub(pause).unwrap_or(now);
            }
        }
        case
    }

    /// A picture came at `now`, and `moves` or not.
    pub fn see(&mut self, now: Instant, moves: bool) {
        if !moves {
            return;
        }
        if now.saturating_duration_since(self.moved) >= self.gap {
            (self.name, self.begun, self.before) = (random_name(NAME), now, Duration::ZERO);
        }
        self.moved = self.moved.max(now);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Milliseconds from its beginning to `at`.
    pub fn ms(&self, at: Instant) -> u64 {
        (self.before + at.saturating_duration_since(self.begun)).as_millis() as u64
    }

    /// What a restart needs to know.
    pub fn note(&self, now: Instant, wall: SystemTime) -> Note {
        let still = now.saturating_duration_since(self.moved).as_secs();
        Note { case: self.name.clone(), ms: self.ms(self.moved), at: seconds(wall).saturating_sub(still) }
    }
}

/// Since 1970.
pub fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(1800);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_case_lasts_until_no_picture_has_moved_for_long() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut case = Case::resume(None, GAP, now, wall);
        let first = case.name().to_owned();
        case.see(now + 29 * MINUTE, true);
        case.see(now + 58 * MINUTE, true);
        assert_eq!((case.name(), case.ms(now + 58 * MINUTE)), (&*first, 58 * 60_000));
        // The machine shows a frozen picture for an hour.
        (59..118).for_each(|minute| case.see(now + minute * MINUTE, false));
        assert_eq!(case.name(), first);
        case.see(now + 118 * MINUTE, true);
        assert!(case.name() != first && case.ms(now + 119 * MINUTE) == 60_000);
    }

    #[test]
    fn a_restart_goes_on_with_the_case_unless_the_pause_is_over() {
        let (now, wall) = (Instant::now() + 100 * MINUTE, SystemTime::now());
        let mut case = Case::resume(None, GAP, now, wall);
        case.see(now + 10 * MINUTE, true);
        let note = case.note(now + 15 * MINUTE, wall + 15 * MINUTE);
        assert_eq!((note.ms, note.at), (600_000, seconds(wall + 10 * MINUTE)));
        let later = |pause: u32| Case::resume(Some(note.clone()), GAP, now, wall + (10 + pause) * MINUTE);
        assert_eq!((later(20).name(), later(20).ms(now)), (case.name(), 30 * 60_000));
        assert_ne!(later(31).name(), case.name());
        let mut resumed = later(20);
        resumed.see(now + 11 * MINUTE, true);
        assert_ne!(resumed.name(), case.name(), "20 minutes before the restart and 11 after it");
        let set_back = Case::resume(Some(note.clone()), GAP, now, wall - 60 * MINUTE);
        assert_eq!(set_back.name(), case.name());
    }
}

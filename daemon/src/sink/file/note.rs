//! What the frame thread says of each frame that it hands to a recording, for the sidecar.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use crate::frame::{Model, NerveSize, OverlayState, Sector};
use crate::sink::Shown;

/// Frames that may be on their way through the encoder and to the disk.
pub const NOTES: usize = 4096;
/// A frame that has not come out of the encoder this long after a later one was dropped: encoders reorder a few only.
const LATEST: u64 = 10 * gst::ClockTime::SECOND.nseconds();

/// What the frame thread says.
pub enum Note {
    /// A frame comes.
    Frame(FrameNote),
    /// The source has fallen silent; black frames are shown, and not recorded.
    NoSignal(SystemTime),
}

/// What is true of one frame.
pub struct FrameNote {
    /// Its time on the daemon's time line in ns; the unit has the same.
    pub at: u64,
    /// When it arrived, as the wall clock had it.
    pub captured: SystemTime,
    /// State of the overlay on it.
    pub ai: OverlayState,
    /// The model that made its mask.
    pub model: Option<Arc<Model>>,
    /// What the model sees of it.
    pub region: Option<Sector>,
    /// The size of the nerve on it.
    pub nerve: Option<NerveSize>,
}

impl FrameNote {
    /// Of a frame that is shown. Called on the frame thread.
    pub fn of(shown: &Shown<'_>) -> Self {
        let now = SystemTime::now();
        Self {
            at: shown.buffer.pts().map_or(0, gst::ClockTime::nseconds),
            captured: now.checked_sub(shown.state.arrived.elapsed()).unwrap_or(now),
            ai: shown.state.ai,
            model: shown.model.cloned(),
            region: shown.region,
            nerve: shown.state.nerve,
        }
    }
}

/// Notes of frames whose unit has not come yet.
#[derive(Default)]
pub struct Pending(VecDeque<FrameNote>);

impl Pending {
    /// The next frame in the order shown.
    pub fn push(&mut self, note: FrameNote) {
        if self.0.len() >= NOTES {
            self.0.pop_front();
        }
        self.0.push_back(note);
    }

    /// The note of the unit that is shown `at`. Those of frames that were dropped on the way are forgotten.
    pub fn take(&mut self, at: u64) -> Option<FrameNote> {
        while self.0.front().is_some_and(|note| note.at.saturating_add(LATEST) < at) {
            self.0.pop_front();
        }
        let place = self.0.iter().position(|note| note.at == at)?;
        self.0.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(at: u64) -> FrameNote {
        let captured = SystemTime::UNIX_EPOCH;
        FrameNote { at, captured, ai: OverlayState::On, model: None, region: None, nerve: None }
    }

    #[test]
    fn each_unit_finds_its_own_frame_in_whatever_order_they_come() {
        let mut pending = Pending::default();
        (0..10).for_each(|at| pending.push(note(at)));
        for at in [0, 3, 1, 2, 9] {
            assert_eq!(pending.take(at).unwrap().at, at);
        }
        assert!(pending.take(3).is_none(), "once");
        pending.push(note(2 * LATEST));
        assert!(pending.take(2 * LATEST).is_some() && pending.0.is_empty(), "dropped ones are forgotten");
        (0..2 * NOTES as u64).for_each(|at| pending.push(note(at)));
        assert_eq!(pending.0.len(), NOTES);
    }
}

//! Steady maps: each probability map averaged with those before it, which are moved along with the tissue first, so that
//! the mask neither flickers nor lags behind the hand.
//!
//! `shown = share * map + (1 - share) * moved(shown before)`. The share is [`SHARE`] where the picture before explains
//! this one, and grows to 1 where it does not: what is new is shown at once.

mod motion;
#[cfg(test)]
mod tests;

use crate::contract::{HEIGHT, Plane, WIDTH, plane};
use crate::steady::motion::{COLUMNS, Motion, Moved, STEP};

/// Share of the newest map. Of 0.4 to 0.1, the largest that halved the flicker of phantoms' masks; below 0.15 Dice falls.
const SHARE: f32 = 0.17;
/// The time between two maps that [`SHARE`] is meant for, in seconds.
const INTERVAL: f32 = 1.0 / 30.0;
/// Maps further apart than this, in seconds, have nothing to do with each other.
const LONGEST: f32 = 0.5;

/// The filter. Nothing is allocated once it is made.
pub struct Steady {
    motion: Motion,
    /// The map that was shown last; none after [`Self::forget`].
    shown: Box<Plane>,
    /// Maps in it.
    maps: u32,
}

impl Default for Steady {
    fn default() -> Self {
        Self { motion: Motion::default(), shown: plane(), maps: 0 }
    }
}

impl Steady {
    /// Forgets all maps: the next one is of another scene.
    pub fn forget(&mut self) {
        self.maps = 0;
        self.motion.forget();
    }

    /// Makes `map`, computed from `crop`, steady. `since` is the time from the crop before, in seconds.
    pub fn apply(&mut self, crop: &Plane, map: &mut Plane, since: f32) {
        self.motion.take(crop);
        if self.maps > 0 && (0.0..LONGEST).contains(&since) {
            // Of maps that are further apart each counts for more. The first few count alike.
            let share = 1.0 - (1.0 - SHARE).powf((since / INTERVAL).max(1.0));
            let share = share.max(1.0 / (self.maps + 1) as f32);
            for (i, cell) in self.motion.estimate().iter().enumerate() {
                mix(map, &self.shown, (i % COLUMNS * STEP, i / COLUMNS * STEP), cell, share);
            }
        } else {
            self.forget();
        }
        self.maps = self.maps.saturating_add(1);
        self.shown.copy_from_slice(&map[..]);
    }
}

/// Averages a cell of `map`, whose first pixel is at `x`, `y`, with what was `shown` where its tissue came from.
fn mix(map: &mut Plane, shown: &Plane, (x, y): (usize, usize), cell: &Moved, share: f32) {
    let new = (256.0 * (share + (1.0 - share) * cell.doubt)).round() as u16;
    let old = 256 - new;
    let left = x.saturating_add_signed(cell.x).min(WIDTH - STEP);
    for row in y..y + STEP {
        let from = row.saturating_add_signed(cell.y).min(HEIGHT - 1) * WIDTH + left;
        let (to, from) = (&mut map[row * WIDTH + x..][..STEP], &shown[from..][..STEP]);
        for (to, from) in to.iter_mut().zip(from) {
            *to = ((u32::from(*to) * u32::from(new) + u32::from(*from) * u32::from(old) + 128) >> 8) as u8;
        }
    }
}

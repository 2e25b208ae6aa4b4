//! Synthetic B-mode ultrasound of a neck, with its nerve as ground truth.
//!
//! Scatterers fixed in the tissue, weighted by what each tissue sends back, meet a point spread
//! that widens with depth; the envelope is gained and log-compressed. Hence real speckle
//! statistics and speckle that moves with the tissue. Not modelled: multiple reflections, phase
//! aberration, refraction.

mod anatomy;
mod beam;
mod motion;
mod nerve;
mod paint;
mod rng;
mod scanner;
mod section;
mod settings;
#[cfg(test)]
mod tests;

pub use rng::SplitMix64;

use anatomy::Anatomy;
use motion::{Motion, Placement};
use rng::Rng;
use scanner::Scanner;
use section::Section;
use settings::Settings;

/// Width of a rendered frame in pixels.
pub const WIDTH: usize = 580;
/// Height of a rendered frame in pixels.
pub const HEIGHT: usize = 420;

/// A buffer is not `WIDTH * HEIGHT` bytes long.
#[derive(Debug, thiserror::Error)]
#[error("a frame is {WIDTH}x{HEIGHT} = {} bytes, but luma has {luma} and mask {mask}", WIDTH * HEIGHT)]
pub struct WrongSize {
    luma: usize,
    mask: usize,
}

/// One synthetic patient under a probe.
///
/// The same `seed` and index give the same bytes, in any order of calls, on every machine of one
/// architecture. The first frame after a change between clip and stills, and every still, draws
/// its section of tissue; the other frames only move over it and allocate nothing.
#[derive(Debug)]
pub struct Phantom {
    seed: u64,
    anatomy: Anatomy,
    motion: Motion,
    scanner: Scanner,
    settings: Settings,
    section: Section,
    shot: Option<Shot>,
}

/// A putting-down of the probe.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shot {
    Clip,
    Still(u64),
}

impl Shot {
    /// Tells the random streams of one putting-down from another's.
    fn index(self) -> u64 {
        match self {
            Self::Clip => 0,
            Self::Still(n) => n.wrapping_add(1),
        }
    }
}

impl Phantom {
    /// Draws the patient's anatomy from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            anatomy: Anatomy::draw(seed),
            motion: Motion::new(seed),
            scanner: Scanner::draw(seed),
            settings: Settings::draw(seed, 0),
            section: Section::default(),
            shot: None,
        }
    }

    /// Renders frame `n` of a motion clip at 30 frames/s into `luma` (`WIDTH * HEIGHT`, row-major,
    /// full range) and its nerve into `mask` (0 or 255, same shape).
    ///
    /// # Errors
    /// A slice of another length.
    pub fn frame(&mut self, n: u64, luma: &mut [u8], mask: &mut [u8]) -> Result<(), WrongSize> {
        check(luma, mask)?;
        self.put_down(Shot::Clip);
        let view = self.motion.frame(n);
        self.scanner.render(&self.section, &self.settings, &view, luma, mask);
        Ok(())
    }

    /// Renders still `n`: the same patient, the probe put down anew. Same shapes as [`Self::frame`].
    ///
    /// About a third of the stills are at a level where the nerve is not in view.
    ///
    /// # Errors
    /// A slice of another length.
    pub fn still(&mut self, n: u64, luma: &mut [u8], mask: &mut [u8]) -> Result<(), WrongSize> {
        check(luma, mask)?;
        self.put_down(Shot::Still(n));
        let view = self.motion.still(n, self.section.placement.nerve);
        self.scanner.render(&self.section, &self.settings, &view, luma, mask);
        Ok(())
    }

    /// Draws the section for `shot` unless it is there already.
    fn put_down(&mut self, shot: Shot) {
        if self.shot != Some(shot) {
            let (anatomy, placement) = self.scene(shot);
            let (index, slides) = (shot.index(), shot == Shot::Clip);
            self.settings = Settings::draw(self.seed, index);
            self.section.draw(self.seed, index, &anatomy, &placement, slides);
            self.shot = Some(shot);
        }
    }

    /// The neck at the level of `shot`, and where the probe stands on it.
    fn scene(&self, shot: Shot) -> (Anatomy, Placement) {
        let rng = &mut Rng::new(self.seed, 40, shot.index());
        let (reach, nerve) = match shot {
            Shot::Clip => (40.0, true),
            Shot::Still(_) => (120.0, !rng.chance(0.35)),
        };
        let anatomy = self.anatomy.vary(rng);
        let (x, y, ..) = anatomy.nerve.bounds();
        (anatomy, Placement::over(rng, x, y, reach, nerve))
    }
}

fn check(luma: &[u8], mask: &[u8]) -> Result<(), WrongSize> {
    let (luma, mask) = (luma.len(), mask.len());
    if (luma, mask) == (WIDTH * HEIGHT, WIDTH * HEIGHT) { Ok(()) } else { Err(WrongSize { luma, mask }) }
}

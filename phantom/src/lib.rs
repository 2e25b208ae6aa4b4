//! Synthetic B-mode ultrasound of a neck, with its nerve as ground truth.

/// Width of a rendered frame in pixels.
pub const WIDTH: usize = 580;
/// Height of a rendered frame in pixels.
pub const HEIGHT: usize = 420;

/// One synthetic patient under a moving probe.
///
/// The same `seed` and index give the same bytes on every machine of one architecture.
#[derive(Debug)]
pub struct Phantom;

impl Phantom {
    /// Draws the patient's anatomy from `seed`.
    pub fn new(_seed: u64) -> Self {
        Self
    }

    /// Renders frame `n` of a motion clip at 30 frames/s into `luma` (`WIDTH * HEIGHT`, row-major,
    /// full range) and its nerve into `mask` (0 or 255, same shape).
    pub fn frame(&mut self, _n: u64, _luma: &mut [u8], _mask: &mut [u8]) {}

    /// Renders still `n`: the same patient, the probe put down anew. Same shapes as [`Self::frame`].
    pub fn still(&mut self, _n: u64, _luma: &mut [u8], _mask: &mut [u8]) {}
}

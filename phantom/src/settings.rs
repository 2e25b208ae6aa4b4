//! What the operator set and how well the skin conducts.

use std::f32::consts::TAU;

use crate::{
    HEIGHT,
    beam::FED_LINES,
    rng::{Rng, decibel, smoothstep},
};

/// What differs from one putting-down of the probe to the next.
#[derive(Debug)]
pub struct Settings {
    /// Amplitude over depth, from a gain and an imperfect time-gain compensation.
    pub gain: [f32; HEIGHT],
    /// Amplitude over lines: lifted edges and hairs block sound.
    pub contact: [f32; FED_LINES],
}

impl Settings {
    /// Draws the settings of putting-down `index`.
    pub fn draw(seed: u64, index: u64) -> Self {
        let mut rng = Rng::new(seed, 30, index);
        let level = rng.spread(3.0);
        let (slope, wave, phase) = (rng.spread(5.0), rng.range(0.0, 2.5), rng.range(0.0, TAU));
        let gain = std::array::from_fn(|y| {
            let depth = y as f32 / HEIGHT as f32;
            decibel(level + slope * (depth - 0.4) + wave * libm::sinf(6.0 * depth + phase))
        });
        let mut contact = [1.0; FED_LINES];
        for left in [true, false] {
            if rng.chance(0.3) {
                let (reach, loss) = (rng.range(10.0, 60.0), rng.range(6.0, 30.0));
                for (i, c) in contact.iter_mut().enumerate() {
                    let from_edge = if left { i } else { FED_LINES - 1 - i } as f32;
                    *c *= decibel(-loss * smoothstep(reach, 0.4 * reach, from_edge));
                }
            }
        }
        for _ in 0..rng.below(3) {
            let (middle, width) = (rng.below(FED_LINES as u64) as f32, rng.range(2.0, 9.0));
            let loss = rng.range(2.0, 7.0);
            for (i, c) in contact.iter_mut().enumerate() {
                let d = (i as f32 - middle) / width;
                *c *= decibel(-loss * libm::expf(-d * d));
            }
        }
        Self { gain, contact }
    }
}

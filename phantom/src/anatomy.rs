//! A patient's neck at the interscalene groove: what lies where.
//!
//! Tissue coordinates are pixels (about 0.09 mm); x = 0 is the groove, y = 0 the skin.
//! The order of the layers follows any atlas of the block (e.g. Franco & Williams, "Ultrasound-
//! guided interscalene block", Reg Anesth Pain Med 2016): skin, fat, sternocleidomastoid, the
//! scalenes with the roots between them, the transverse process; medially carotid and jugular.

use crate::{nerve::Nerve, rng::Rng};

/// How a tissue scatters sound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tissue {
    /// Backscatter in dB over the patient's muscle.
    pub echo: f32,
    /// Scatterers per cell, 0..1. One gives fully developed speckle; few give a grainy look
    /// (Wagner et al., "Statistics of speckle in ultrasound B-scans", IEEE Trans SU 1983).
    pub density: f32,
    /// Two-way loss in dB/pixel beyond the 0.09 that the scanner compensates
    /// (0.5 dB/cm/MHz at 10 MHz).
    pub loss: f32,
    /// Amplitude of the coherent echo of a smooth surface.
    pub specular: f32,
}

/// A muscle's cross-section, an ellipse, with the lean of its fibres.
#[derive(Debug, Clone, Copy)]
pub struct Muscle {
    pub x: f32,
    pub y: f32,
    pub rx: f32,
    pub ry: f32,
    pub slope: f32,
}

/// A vessel's cross-section.
#[derive(Debug, Clone, Copy)]
pub struct Vessel {
    pub x: f32,
    pub y: f32,
    pub rx: f32,
    pub ry: f32,
}

/// One patient.
#[derive(Debug, Clone)]
pub struct Anatomy {
    pub skin: f32,
    /// Depth of the fat's lower border.
    pub fat: f32,
    /// Under the fat, lens-shaped: `x`, `y` its middle.
    pub mastoid: Muscle,
    /// Anterior and middle scalene.
    pub scalenes: [Muscle; 2],
    /// Top of the transverse process, and its width.
    pub bone: Vessel,
    pub carotid: Vessel,
    pub jugular: Vessel,
    pub nerve: Nerve,
    /// Middle of the groove.
    pub groove: (f32, f32),
    pub skin_tissue: Tissue,
    pub fat_tissue: Tissue,
    pub muscle_tissue: Tissue,
    pub loose_tissue: Tissue,
    pub sheath_tissue: Tissue,
    pub fascicle_tissue: Tissue,
    /// Amplitude of fascia.
    pub fascia: f32,
    /// Depth of the muscles' striation in dB.
    pub striation: f32,
}

impl Anatomy {
    /// Draws the patient `seed`.
    pub fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(seed, 10, 0);
        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let skin = rng.range(9.0, 16.0);
        let fat = skin + rng.range(22.0, 55.0);
        let depth = fat + rng.range(75.0, 125.0);
        let lens = (depth - fat) * rng.range(0.25, 0.5);
        let gap = rng.range(10.0, 35.0);
        let mut scalene = |side: f32| {
            let rx = rng.range(90.0, 140.0);
            Muscle {
                x: side * (rx + gap),
                y: depth + rng.range(-10.0, 35.0),
                rx,
                ry: rng.range(50.0, 85.0),
                slope: -side * rng.range(0.0, 0.25),
            }
        };
        let scalenes = [scalene(-1.0), scalene(1.0)];
        let radius = rng.range(24.0, 36.0);
        let carotid = Vessel {
            x: side * rng.range(190.0, 300.0),
            y: depth + rng.range(10.0, 70.0),
            rx: radius,
            ry: radius * rng.range(0.9, 1.0),
        };
        let mut tissue = |echo: f32, density: f32, loss: f32| Tissue {
            echo: echo + rng.spread(2.0),
            density,
            loss,
            specular: 0.0,
        };
        Self {
            skin,
            fat,
            skin_tissue: tissue(9.0, 1.0, 0.03),
            fat_tissue: tissue(4.0, 0.35, 0.0),
            muscle_tissue: tissue(-1.0, 0.7, 0.015),
            loose_tissue: tissue(2.5, 0.5, 0.01),
            sheath_tissue: tissue(6.5, 0.7, 0.01),
            fascicle_tissue: tissue(-6.0, 1.0, 0.0),
            mastoid: Muscle {
                x: side * rng.range(20.0, 110.0),
                y: fat + lens / 2.0 + 4.0,
                rx: rng.range(170.0, 260.0),
                ry: lens,
                slope: rng.spread(0.08),
            },
            scalenes,
            bone: Vessel {
                x: rng.range(-150.0, 150.0),
                y: depth + rng.range(120.0, 190.0),
                rx: rng.range(35.0, 80.0),
                ry: rng.range(12.0, 30.0),
            },
            carotid,
            jugular: Vessel {
                x: carotid.x - side * rng.range(-10.0, 50.0),
                y: carotid.y - radius - rng.range(14.0, 26.0),
                rx: rng.range(26.0, 46.0),
                ry: rng.range(9.0, 17.0),
            },
            nerve: Nerve::draw(rng, rng_x(seed), depth),
            groove: (0.0, depth),
            fascia: rng.range(8.0, 15.0),
            striation: rng.range(2.5, 5.0),
        }
    }

    /// The same patient some millimetres further along the neck.
    pub fn vary(&self, rng: &mut Rng) -> Self {
        let mut other = self.clone();
        let depth = rng.spread(10.0);
        other.fat += rng.spread(5.0);
        for muscle in other.scalenes.iter_mut().chain([&mut other.mastoid]) {
            muscle.x += rng.spread(12.0);
            muscle.y += depth / 2.0 + rng.spread(5.0);
            muscle.rx *= rng.range(0.9, 1.1);
            muscle.ry *= rng.range(0.9, 1.1);
            muscle.slope += rng.spread(0.05);
        }
        other.bone.x += rng.spread(40.0);
        other.bone.y += rng.spread(20.0);
        other.nerve = self.nerve.vary(rng);
        other
    }
}

/// The nerve need not sit in the middle of its groove.
fn rng_x(seed: u64) -> f32 {
    Rng::new(seed, 11, 0).spread(12.0)
}

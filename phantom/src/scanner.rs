//! The scanner: point spread, receiver noise, gain over depth, log compression.
//!
//! The linear model of Jensen's Field II (echo = scatterers convolved with a pulse-echo point
//! spread) with a Gaussian, separable spread at baseband, on one line every two pixels; lines
//! between are interpolated after compression, as in a scan converter.

use std::f32::consts::{LOG2_10, TAU};

use crate::{
    HEIGHT, WIDTH,
    motion::View,
    rng::{Rng, smoothstep},
    section::{ABOVE, COLUMNS, LINES, PITCH, ROWS, SIDE, Section},
};

/// Lateral reach of the point spread in lines, and axial in rows.
const WIDE: usize = 7;
const TALL: usize = 4;
/// Lines and rows that feed one frame.
const FED_LINES: usize = LINES + 2 * WIDE;
const FED_ROWS: usize = HEIGHT + 2 * TALL;
/// Levels of the compression table: 64 per octave of power over 40 octaves, 0.05 dB apart.
const LEVELS: usize = 64 * 40;
const LOWEST: u32 = (127 - 20) << 6;

/// What the operator and the skin contact set; differs from one putting-down to the next.
#[derive(Debug)]
pub struct Settings {
    /// Amplitude over depth, from a gain and an imperfect time-gain compensation.
    gain: [f32; HEIGHT],
    /// Amplitude over lines: lifted edges and hairs block sound.
    contact: [f32; FED_LINES],
}

impl Settings {
    pub fn draw(seed: u64, index: u64) -> Self {
        let mut rng = Rng::new(seed, 30, index);
        let level = rng.spread(3.0);
        let (slope, wave, phase) = (rng.spread(5.0), rng.range(0.0, 2.5), rng.range(0.0, TAU));
        let gain = std::array::from_fn(|y| {
            let depth = y as f32 / HEIGHT as f32;
            amplitude(level + slope * (depth - 0.4) + wave * libm::sinf(6.0 * depth + phase))
        });
        let mut contact = [1.0; FED_LINES];
        for left in [true, false] {
            if rng.chance(0.3) {
                let (reach, loss) = (rng.range(10.0, 60.0), rng.range(6.0, 30.0));
                for i in 0..FED_LINES {
                    let from_edge = if left { i } else { FED_LINES - 1 - i } as f32;
                    contact[i] *= amplitude(-loss * smoothstep(reach, 0.4 * reach, from_edge));
                }
            }
        }
        for _ in 0..rng.below(3) {
            let (middle, width) = (rng.below(FED_LINES as u64) as f32, rng.range(2.0, 9.0));
            let loss = rng.range(2.0, 7.0);
            for (i, c) in contact.iter_mut().enumerate() {
                let d = (i as f32 - middle) / width;
                *c *= amplitude(-loss * libm::expf(-d * d));
            }
        }
        Self { gain, contact }
    }
}

/// A patient's scanner and its buffers.
#[derive(Debug)]
pub struct Scanner {
    /// One side of the lateral spread with its centre, per fed row.
    lateral: Vec<[f32; WIDE + 1]>,
    axial: [f32; TALL + 1],
    /// Receiver noise amplitude per fed row: the compensation lifts it with depth.
    noise: Vec<f32>,
    hiss: Vec<f32>,
    grey: Vec<f32>,
    /// Real and imaginary field after the lateral spread.
    field: [Vec<f32>; 2],
    row: Row,
}

/// One row under way.
#[derive(Debug)]
struct Row {
    column: [f32; FED_LINES],
    depth: [f32; FED_LINES],
    echo: [[f32; FED_LINES]; 2],
}

impl Scanner {
    /// The scanner in patient `seed`'s room.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 31, 0);
        let near = rng.range(1.0, 1.35);
        let far = near + rng.range(0.7, 1.2);
        let lateral = |y: usize| half_gaussian(near + (far - near) * y as f32 / FED_ROWS as f32);
        let floor = rng.range(-62.0, -50.0);
        // Logarithm with a toe, log(1 + power / toe): speckle's nulls turn dark, not black.
        let toe = 2.0 * power(rng.range(-14.0, -9.0));
        let range = rng.range(35.0, 43.0);
        let level = |i: usize| {
            let power = f32::from_bits((LOWEST + i as u32) << 17);
            (255.0 * 10.0 / range * libm::log10f(1.0 + power / toe)).min(255.0)
        };
        Self {
            lateral: (0..FED_ROWS).map(lateral).collect(),
            axial: half_gaussian(rng.range(1.1, 1.4)),
            noise: (0..FED_ROWS).map(|y| amplitude(floor + 0.09 * y as f32)).collect(),
            hiss: (0..8192).flat_map(|_| rng.white()).collect(),
            grey: (0..LEVELS).map(level).collect(),
            field: [vec![0.0; FED_ROWS * LINES], vec![0.0; FED_ROWS * LINES]],
            row: Row { column: [0.0; FED_LINES], depth: [0.0; FED_LINES], echo: [[0.0; FED_LINES]; 2] },
        }
    }

    /// Renders `section` as seen in `view` into `luma` and `mask`, both `WIDTH * HEIGHT`.
    pub fn render(
        &mut self,
        section: &Section,
        settings: &Settings,
        view: &View,
        luma: &mut [u8],
        mask: &mut [u8],
    ) {
        mask.fill(0);
        let mut noise = Rng::new(view.noise, 32, 0);
        for y in 0..FED_ROWS {
            self.row.trace(section, view, y as f32 - TALL as f32);
            self.row.insonify(section, view, &settings.contact);
            let start = noise.below((self.hiss.len() - 2 * LINES) as u64) as usize;
            for part in 0..2 {
                let out = &mut self.field[part][y * LINES..][..LINES];
                blur(&self.row.echo[part], &self.lateral[y], out);
                let hiss = &self.hiss[start + part * LINES..];
                for (out, hiss) in out.iter_mut().zip(hiss) {
                    *out += self.noise[y] * hiss;
                }
            }
            if view.away < 0.5 && (TALL..TALL + HEIGHT).contains(&y) {
                self.row.outline(section, &mut mask[(y - TALL) * WIDTH..][..WIDTH]);
            }
        }
        let gain = amplitude(view.gain);
        // A scanner's speckle filter: grey values averaged over three rows, 1 2 1.
        let mut rows = [[0.0; LINES]; 3];
        self.compressed(0, gain * settings.gain[0], &mut rows[1]);
        rows[0] = rows[1];
        for (y, luma) in luma.chunks_exact_mut(WIDTH).enumerate() {
            let below = (y + 1).min(HEIGHT - 1);
            self.compressed(below, gain * settings.gain[below], &mut rows[2]);
            let line = std::array::from_fn(|i| 0.25 * (rows[0][i] + rows[2][i]) + 0.5 * rows[1][i]);
            stretch(&line, luma);
            rows.rotate_left(1);
        }
    }

    /// Grey values of row `y` over its lines.
    fn compressed(&self, y: usize, gain: f32, out: &mut [f32; LINES]) {
        self.power(y, gain, out);
        for value in out {
            let level = (value.to_bits() >> 17).saturating_sub(LOWEST);
            *value = self.grey[(level as usize).min(LEVELS - 1)];
        }
    }

    /// Detected power of row `y` over its lines.
    fn power(&self, y: usize, gain: f32, out: &mut [f32; LINES]) {
        let sum = |field: &Vec<f32>| {
            let row = |k: usize| &field[(y + k) * LINES..][..LINES];
            let mut sum = [0f32; LINES];
            for (s, v) in sum.iter_mut().zip(row(TALL)) {
                *s = self.axial[0] * v;
            }
            for k in 1..=TALL {
                for ((s, a), b) in sum.iter_mut().zip(row(TALL - k)).zip(row(TALL + k)) {
                    *s += self.axial[k] * (a + b);
                }
            }
            sum
        };
        let (re, im) = (sum(&self.field[0]), sum(&self.field[1]));
        for ((out, re), im) in out.iter_mut().zip(&re).zip(&im) {
            *out = gain * gain * (re * re + im * im);
        }
    }
}

impl Row {
    /// Finds where each line of picture row `y` lies in the section's grid.
    fn trace(&mut self, section: &Section, view: &View, y: f32) {
        let [x0, dx, y0, dy] = view.pose.row(y);
        for i in 0..FED_LINES {
            let x = (i as f32 - WIDE as f32) * PITCH as f32;
            self.column[i] = x0 + dx * x;
            self.depth[i] = y0 + dy * x;
        }
        let (artery, vein) = (section.artery, section.vein);
        for (p, grow, flat) in [(artery, view.systole, 1.0), (vein, -view.collapse, 0.0)] {
            let reach = 3.0 * p.radius;
            if (y - p.y).abs() > reach + 40.0 {
                continue;
            }
            let scale = 1.0 / (reach * reach);
            for (x, y) in self.column.iter_mut().zip(&mut self.depth) {
                let (u, v) = (*x - p.x, *y - p.y);
                let near = (1.0 - (u * u + v * v) * scale).max(0.0);
                let pull = grow * near * near;
                *x -= flat * pull * u;
                *y -= pull * v;
            }
        }
        for (x, y) in self.column.iter_mut().zip(&mut self.depth) {
            *x = (*x / PITCH as f32 + SIDE as f32).clamp(0.0, (COLUMNS - 2) as f32);
            *y = (*y + ABOVE as f32).clamp(0.0, (ROWS - 2) as f32);
        }
    }

    /// Gathers the echo of each line's cell: scatterers times amplitude, plus surfaces.
    fn insonify(&mut self, section: &Section, view: &View, contact: &[f32; FED_LINES]) {
        let (near, far) = (libm::cosf(view.turn), libm::sinf(view.turn));
        let (here, away) = (1.0 - view.away, view.away);
        for i in 0..FED_LINES {
            let (cell, fx, fy) = split(self.column[i], self.depth[i]);
            let top = &section.cells[cell..cell + 2];
            let bottom = &section.cells[cell + COLUMNS..cell + COLUMNS + 2];
            let mut c = [0f32; 8];
            for k in 0..8 {
                let a = top[0][k] + fx * (top[1][k] - top[0][k]);
                let b = bottom[0][k] + fx * (bottom[1][k] - bottom[0][k]);
                c[k] = a + fy * (b - a);
            }
            let diffuse = contact[i] * (here * c[0] * c[0] + away * c[2] * c[2]).sqrt();
            let surface = contact[i] * (here * c[1] + away * c[3]);
            self.echo[0][i] = diffuse * (near * c[4] + far * c[6]) + surface;
            self.echo[1][i] = diffuse * (near * c[5] + far * c[7]);
        }
    }

    fn outline(&self, section: &Section, out: &mut [u8]) {
        let mut cover = [0f32; LINES];
        let mut any = false;
        for i in 0..LINES {
            let (cell, fx, fy) = split(self.column[i + WIDE], self.depth[i + WIDE]);
            let (top, bottom) = (&section.mask[cell..], &section.mask[cell + COLUMNS..]);
            let a = top[0] + fx * (top[1] - top[0]);
            let b = bottom[0] + fx * (bottom[1] - bottom[0]);
            cover[i] = a + fy * (b - a);
            any |= cover[i] > 0.25;
        }
        if any {
            for (i, pair) in out.chunks_exact_mut(PITCH).enumerate() {
                let next = cover[(i + 1).min(LINES - 1)];
                pair[0] = if cover[i] > 0.5 { 255 } else { 0 };
                pair[1] = if cover[i] + next > 1.0 { 255 } else { 0 };
            }
        }
    }
}

/// A cell's index and the fractions to its right and lower neighbours.
fn split(x: f32, y: f32) -> (usize, f32, f32) {
    let (column, row) = (x as i32, y as i32);
    ((row as usize) * COLUMNS + column as usize, x - column as f32, y - row as f32)
}

/// Convolves one row with a symmetric kernel.
fn blur(row: &[f32; FED_LINES], kernel: &[f32; WIDE + 1], out: &mut [f32]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = kernel[0] * row[i + WIDE];
    }
    for k in 1..=WIDE {
        let (left, right) = (&row[WIDE - k..][..LINES], &row[WIDE + k..][..LINES]);
        for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
            *out += kernel[k] * (a + b);
        }
    }
}

/// Doubles a row of grey values, between lines linearly, on lines as softly.
fn stretch(line: &[f32; LINES], out: &mut [u8]) {
    for (i, pair) in out.chunks_exact_mut(PITCH).enumerate() {
        let at = |k: usize| line[k.min(LINES - 1)];
        let here = 0.75 * line[i] + 0.125 * (at(i.max(1) - 1) + at(i + 1));
        pair[0] = (here + 0.5) as u8;
        pair[1] = (0.5 * (line[i] + at(i + 1)) + 0.5) as u8;
    }
}

/// A Gaussian of `sigma`, its middle and one side, scaled to keep the power of white noise.
fn half_gaussian<const N: usize>(sigma: f32) -> [f32; N] {
    let mut side: [f32; N] = std::array::from_fn(|k| libm::expf(-((k * k) as f32) / (2.0 * sigma * sigma)));
    let power = side[1..].iter().map(|w| 2.0 * w * w).sum::<f32>() + 1.0;
    side.iter_mut().for_each(|w| *w /= power.sqrt());
    side
}

/// Amplitude of a level in dB.
fn amplitude(level: f32) -> f32 {
    libm::exp2f(level * (LOG2_10 / 20.0))
}

/// Power of a level in dB.
fn power(level: f32) -> f32 {
    amplitude(2.0 * level)
}

//! The scanner: point spread, receiver noise, gain over depth, log compression.
//!
//! The linear model of Jensen's Field II (echo = scatterers convolved with a pulse-echo point
//! spread) with a Gaussian, separable spread at baseband, on one line every two pixels; lines
//! between are interpolated after compression, as in a scan converter.

use crate::{
    HEIGHT, WIDTH,
    beam::{LOOKS, Row, WIDE, blur},
    motion::View,
    rng::{Rng, decibel},
    section::{LINES, PITCH, Section},
    settings::Settings,
};

/// Axial reach of the point spread in rows.
const TALL: usize = 4;
/// Rows that feed one frame.
const FED_ROWS: usize = HEIGHT + 2 * TALL;
/// Levels of the compression table: 64 per octave of power over 40 octaves, 0.05 dB apart.
const LEVELS: usize = 64 * 40;
const LOWEST: u32 = (127 - 20) << 6;

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
    /// Real and imaginary field of each look after the lateral spread.
    field: [Vec<f32>; 2 * LOOKS],
    row: Row,
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
        let toe = 2.0 * decibel(rng.range(-28.0, -18.0));
        let range = rng.range(35.0, 43.0);
        let level = |i: usize| {
            let power = f32::from_bits((LOWEST + i as u32) << 17);
            (255.0 * 10.0 / range * libm::log10f(1.0 + power / toe)).min(255.0)
        };
        Self {
            lateral: (0..FED_ROWS).map(lateral).collect(),
            axial: half_gaussian(rng.range(1.1, 1.4)),
            noise: (0..FED_ROWS).map(|y| decibel(floor + 0.09 * y as f32)).collect(),
            hiss: (0..8192).flat_map(|_| rng.white()).collect(),
            grey: (0..LEVELS).map(level).collect(),
            field: std::array::from_fn(|_| vec![0.0; FED_ROWS * LINES]),
            row: Row::default(),
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
            let start = noise.below((self.hiss.len() - 2 * LOOKS * LINES) as u64) as usize;
            for part in 0..2 * LOOKS {
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
        let gain = decibel(view.gain);
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

    /// Row `y` of one part of the field after the axial spread.
    fn received(&self, part: usize, y: usize) -> [f32; LINES] {
        let row = |k: usize| &self.field[part][(y + k) * LINES..][..LINES];
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
    }

    /// Detected power of row `y` over its lines.
    fn power(&self, y: usize, gain: f32, out: &mut [f32; LINES]) {
        out.fill(0.0);
        for part in 0..self.field.len() {
            for (out, v) in out.iter_mut().zip(&self.received(part, y)) {
                *out += v * v;
            }
        }
        for out in out {
            *out *= gain * gain / LOOKS as f32;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        beam::FED_LINES,
        section::{COLUMNS, ROWS},
    };

    /// A scanner that has just looked at an even block of scatterers.
    fn even_block() -> Scanner {
        let mut rng = Rng::new(5, 0, 0);
        let cell = || {
            let [a, b, c, d] = rng.white();
            [1.0, 0.0, 1.0, 0.0, a, b, c, d]
        };
        let mut section = Section::default();
        section.cells.resize_with(COLUMNS * ROWS, cell);
        section.mask.resize(COLUMNS * ROWS, [0.0]);
        let settings = Settings { gain: [1.0; HEIGHT], contact: [1.0; FED_LINES] };
        let mut scanner = Scanner::draw(5);
        scanner.noise.fill(0.0);
        let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
        scanner.render(&section, &settings, &View::default(), &mut luma, &mut mask);
        scanner
    }

    fn mean_over_deviation(values: &[f32]) -> f32 {
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        mean / (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt()
    }

    #[test]
    fn speckle_is_fully_developed() {
        let scanner = even_block();
        let (mut one, mut both, mut line) = (Vec::new(), Vec::new(), [0.0; LINES]);
        for y in 0..HEIGHT {
            let (re, im) = (scanner.received(0, y), scanner.received(1, y));
            one.extend(re.iter().zip(&im).map(|(re, im)| libm::hypotf(*re, *im)));
            scanner.power(y, 1.0, &mut line);
            both.extend(line.iter().map(|power| power.sqrt()));
        }
        // Rayleigh: sqrt(pi / (4 - pi)) (Wagner 1983). Two looks: chi of four degrees.
        let (one, both) = (mean_over_deviation(&one), mean_over_deviation(&both));
        assert!((one - 1.91).abs() < 0.06, "{one}");
        assert!((both - 2.75).abs() < 0.12, "{both}");
    }

    #[test]
    fn the_beam_widens_with_depth() {
        let scanner = even_block();
        let correlation = |rows: std::ops::Range<usize>| {
            let (mut here, mut across) = (0.0, 0.0);
            for y in rows {
                let row = scanner.received(0, y);
                here += row.iter().map(|v| v * v).sum::<f32>();
                across += row.windows(3).map(|w| w[0] * w[2]).sum::<f32>();
            }
            across / here
        };
        let (near, middle, far) = (correlation(0..80), correlation(160..240), correlation(340..420));
        assert!(near + 0.08 < middle && middle + 0.08 < far, "{near} {middle} {far}");
    }

    #[test]
    fn compression_is_monotone_from_black_to_white() {
        let scanner = Scanner::draw(3);
        assert!(scanner.grey.is_sorted());
        assert!(scanner.grey[0] < 1.0 && scanner.grey[LEVELS - 1] == 255.0);
    }
}

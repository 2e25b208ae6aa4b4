//! Changes to training frames: what another probe position, depth, gain, scanner or contact would show.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use crate::util::Rng;

/// How much training frames vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// As recorded.
    None,
    /// Flip, shift, gain and gamma.
    Light,
    /// Also rotation, scale, time-gain compensation, speckle, shadow, and blur that grows with depth.
    Full,
}

/// Largest shift in pixels, each way; less in small frames.
const SHIFT: f64 = 24.0;
/// Largest rotation in degrees, each way.
const ROTATION: f64 = 10.0;
/// Largest scale as a power of two, each way: 0.84 to 1.19.
const SCALE: f64 = 0.25;
/// Points at which time-gain compensation is drawn; linear between them.
const GAINS: usize = 5;
/// Columns and rows to a grain of speckle: it is wider than deep.
const GRAIN: (usize, usize) = (4, 2);

/// A changed copy of `frame` (`height` x `width`): luma and nerve. The same `rng`, the same copy.
/// Pixels from outside repeat the border.
pub fn augment(
    frame: &Frame,
    (height, width): (usize, usize),
    level: Augment,
    mut rng: Rng,
) -> (Vec<u8>, Vec<u8>) {
    if level == Augment::None {
        return (frame.luma.to_vec(), frame.nerve.to_vec());
    }
    let place = Geometric::draw(height, width, level, &mut rng);
    let look = Photometric::draw(height, width, level, &mut rng);
    let mut luma = Vec::with_capacity(width * height);
    let mut nerve = Vec::with_capacity(width * height);
    let (mut row, mut blurred) = (vec![0f32; width], vec![0f32; width]);
    for y in 0..height {
        place.row(y, &frame.luma, &frame.nerve, &mut row, &mut nerve);
        look.row(y, &mut row, &mut blurred, &mut luma);
    }
    (luma, nerve)
}

/// Where each pixel comes from: `source = matrix * (pixel - centre) + offset`, in 1/65536 pixels.
struct Geometric {
    height: i64,
    width: i64,
    step: [i64; 2],
    down: [i64; 2],
    first: [i64; 2],
}

/// Fractional bits of a coordinate.
const BITS: u32 = 16;

impl Geometric {
    fn draw(height: usize, width: usize, level: Augment, rng: &mut Rng) -> Self {
        let mirror = if rng.below(2) == 1 { -1.0 } else { 1.0 };
        let reach = SHIFT.min(width.min(height) as f64 / 8.0);
        let mut shift = || rng.between(-reach, reach).round();
        let offset = [shift(), shift()];
        let (angle, scale) = if level == Augment::Full {
            (rng.between(-ROTATION, ROTATION).to_radians(), 2f64.powf(rng.between(-SCALE, SCALE)))
        } else {
            (0.0, 1.0)
        };
        let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
        let fixed = |value: f64| (value * f64::from(1u32 << BITS)).round() as i64;
        let centre = [(width - 1) as f64 / 2.0, (height - 1) as f64 / 2.0];
        let (step, down) = ([mirror * cos, sin], [-mirror * sin, cos]);
        let first = [0, 1].map(|i| centre[i] - step[i] * centre[0] - down[i] * centre[1] + offset[i]);
        Self {
            height: height as i64,
            width: width as i64,
            step: step.map(fixed),
            down: down.map(fixed),
            first: first.map(fixed),
        }
    }

    /// Row `y` of the copy: luma between four pixels, nerve of the nearest.
    fn row(&self, y: usize, luma: &[u8], nerve: &[u8], row: &mut [f32], into: &mut Vec<u8>) {
        let [mut x, mut y] = [0, 1].map(|i| self.first[i] + self.down[i] * y as i64);
        let (right, bottom) = ((self.width - 1) << BITS, (self.height - 1) << BITS);
        for pixel in row {
            let (u, v) = (x.clamp(0, right), y.clamp(0, bottom));
            let (left, top) = (u >> BITS, v >> BITS);
            let at = (top * self.width + left) as usize;
            let beside = usize::from(left + 1 < self.width);
            let below = if top + 1 < self.height { self.width as usize } else { 0 };
            let part = |value: i64| (value & ((1 << BITS) - 1)) as f32 / (1u32 << BITS) as f32;
            let (a, b) = (part(u), part(v));
            let value = |i: usize| f32::from(luma[i]);
            let upper = value(at) + a * (value(at + beside) - value(at));
            let lower = value(at + below) + a * (value(at + below + beside) - value(at + below));
            *pixel = upper + b * (lower - upper);
            let near = at + if a < 0.5 { 0 } else { beside } + if b < 0.5 { 0 } else { below };
            into.push(nerve[near]);
            x += self.step[0];
            y += self.step[1];
        }
    }
}

/// What happens to the brightness of each pixel.
struct Photometric {
    height: usize,
    /// Tone curve of gain and gamma.
    tone: [f32; 256],
    /// Factor of each row.
    gains: Vec<f32>,
    /// Part of the blurred row at the bottom; none at the top.
    blur: f32,
    speckle: Option<Speckle>,
    shadow: Option<Shadow>,
}

impl Photometric {
    fn draw(height: usize, width: usize, level: Augment, rng: &mut Rng) -> Self {
        let gain = 2f64.powf(rng.between(-0.4, 0.4));
        let gamma = 2f64.powf(rng.between(-0.3, 0.3));
        let tone = std::array::from_fn(|v| (255.0 * gain * (v as f64 / 255.0).powf(gamma)) as f32);
        let mut look =
            Self { height, tone, gains: vec![1.0; height], blur: 0.0, speckle: None, shadow: None };
        if level == Augment::Full {
            let gains: [f64; GAINS] = std::array::from_fn(|_| rng.between(-0.3, 0.3));
            for (y, gain) in look.gains.iter_mut().enumerate() {
                let at = y as f64 / height as f64 * (GAINS - 1) as f64;
                let i = (at as usize).min(GAINS - 2);
                let between = gains[i] + (at - i as f64) * (gains[i + 1] - gains[i]);
                *gain = between.exp2() as f32;
            }
            look.blur = rng.between(-0.5, 1.0).max(0.0) as f32;
            look.speckle = (rng.below(2) == 1).then(|| Speckle::draw(height, width, rng));
            look.shadow = (rng.below(4) == 0).then(|| Shadow::draw(height, width, rng));
        }
        look
    }

    /// Adds row `y` to `luma`.
    fn row(&self, y: usize, row: &mut [f32], blurred: &mut [f32], luma: &mut Vec<u8>) {
        let depth = y as f32 / self.height as f32;
        if self.blur > 0.0 {
            smear(row, blurred, self.blur * depth);
        }
        if let Some(speckle) = &self.speckle {
            speckle.row(y, row);
        }
        if let Some(shadow) = &self.shadow {
            shadow.row(y, row);
        }
        let gain = self.gains[y];
        luma.extend(row.iter().map(|value| {
            // Casts saturate: from below 0 to 0, from above 255 to 255.
            let tone = self.tone[usize::from((value + 0.5) as u8)];
            (tone * gain + 0.5) as u8
        }));
    }
}

/// Mixes `part` of a binomial blur over five columns into `row`: a beam that is wider at depth.
fn smear(row: &mut [f32], blurred: &mut [f32], part: f32) {
    blurred.copy_from_slice(row);
    for x in 2..row.len().saturating_sub(2) {
        let sum = row[x - 2] + row[x + 2] + 4.0 * (row[x - 1] + row[x + 1]) + 6.0 * row[x];
        blurred[x] = sum / 16.0;
    }
    for (value, blurred) in row.iter_mut().zip(blurred) {
        *value += part * (*blurred - *value);
    }
}

/// Multiplicative noise in grains.
struct Speckle {
    columns: usize,
    factors: Vec<f32>,
}

impl Speckle {
    fn draw(height: usize, width: usize, rng: &mut Rng) -> Self {
        let (columns, rows) = (width / GRAIN.0 + 2, height / GRAIN.1 + 2);
        let strength = rng.between(0.05, 0.3) as f32;
        // Four bytes of one draw add up to nearly a Gaussian: mean 510, deviation 147.8.
        let factor = |bits: u32| {
            let sum: u32 = bits.to_le_bytes().into_iter().map(u32::from).sum();
            1.0 + strength * (sum as f32 - 510.0) / 147.8
        };
        let mut factors = Vec::with_capacity(columns * rows + 1);
        while factors.len() < columns * rows {
            let bits = rng.next();
            factors.extend([factor(bits as u32), factor((bits >> 32) as u32)]);
        }
        Self { columns, factors }
    }

    fn row(&self, y: usize, row: &mut [f32]) {
        let part = (y % GRAIN.1) as f32 / GRAIN.1 as f32;
        let upper = &self.factors[y / GRAIN.1 * self.columns..];
        let lower = &self.factors[(y / GRAIN.1 + 1) * self.columns..];
        let between = |i: usize| upper[i] + part * (lower[i] - upper[i]);
        let mut left = between(0);
        for (grain, pixels) in row.chunks_mut(GRAIN.0).enumerate() {
            let right = between(grain + 1);
            for (i, pixel) in pixels.iter_mut().enumerate() {
                *pixel *= left + (right - left) * (i as f32 / GRAIN.0 as f32);
            }
            left = right;
        }
    }
}

/// Darkness below a bone or where contact is lost: a band with soft sides, from some depth down.
struct Shadow {
    from: f32,
    centre: f32,
    lean: f32,
    half: f32,
    dark: f32,
}

impl Shadow {
    fn draw(height: usize, width: usize, rng: &mut Rng) -> Self {
        let (height, width) = (height as f64, width as f64);
        Self {
            from: rng.between(0.0, 0.6 * height) as f32,
            centre: rng.between(0.0, width) as f32,
            lean: rng.between(-0.2, 0.2) as f32,
            half: rng.between(0.03, 0.1) as f32 * width as f32,
            dark: rng.between(0.3, 0.8) as f32,
        }
    }

    fn row(&self, y: usize, row: &mut [f32]) {
        let below = y as f32 - self.from;
        if below <= 0.0 {
            return;
        }
        let dark = self.dark * (below / 20.0).min(1.0);
        let centre = self.centre + self.lean * below;
        let first = (centre - self.half).max(0.0) as usize;
        let end = ((centre + self.half).max(0.0) as usize).min(row.len());
        for (x, pixel) in row.iter_mut().enumerate().take(end).skip(first) {
            let aside = (x as f32 - centre) / self.half;
            let inside = 1.0 - aside * aside;
            *pixel *= 1.0 - dark * inside.max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (60, 80);

    fn frame() -> Frame {
        let at = |i: usize| (i % SIZE.1, i / SIZE.1);
        let luma = (0..SIZE.0 * SIZE.1).map(|i| (at(i).0 * 3) as u8);
        let nerve = (0..SIZE.0 * SIZE.1).map(|i| {
            let (x, y) = at(i);
            u8::from((30..50).contains(&x) && (20..40).contains(&y))
        });
        Frame { name: "1_1".into(), patient: 1, luma: luma.collect(), nerve: nerve.collect() }
    }

    fn centre(nerve: &[u8]) -> (f64, f64, usize) {
        let on: Vec<_> = nerve.iter().enumerate().filter(|(_, n)| **n == 1).map(|(i, _)| i).collect();
        let mean =
            |of: &dyn Fn(usize) -> usize| on.iter().map(|i| of(*i) as f64).sum::<f64>() / on.len() as f64;
        (mean(&|i| i % SIZE.1), mean(&|i| i / SIZE.1), on.len())
    }

    #[test]
    fn none_is_the_frame() {
        let frame = frame();
        let (luma, nerve) = augment(&frame, SIZE, Augment::None, Rng::new(&[1]));
        assert_eq!((&luma[..], &nerve[..]), (&frame.luma[..], &frame.nerve[..]));
    }

    #[test]
    fn the_same_generator_gives_the_same_copy_and_another_another() {
        for level in [Augment::Light, Augment::Full] {
            let copy = |key| augment(&frame(), SIZE, level, Rng::new(&[key]));
            assert_eq!(copy(1), copy(1));
            assert_ne!(copy(1), copy(2));
        }
    }

    #[test]
    fn light_changes_keep_every_pixel_of_the_nerve() {
        for key in 0..30 {
            let (luma, nerve) = augment(&frame(), SIZE, Augment::Light, Rng::new(&[key]));
            let (x, y, area) = centre(&nerve);
            assert_eq!(area, 400, "key {key}");
            assert!((x - 39.5).abs() <= 7.5 && (y - 29.5).abs() <= 7.5, "key {key}: {x} {y}");
            assert_eq!((luma.len(), nerve.len()), (4800, 4800));
        }
    }

    #[test]
    fn full_changes_keep_the_nerve_where_its_pixels_go() {
        // The nerve alone is bright, so that luma tells where it went.
        let mut frame = frame();
        frame.luma.iter_mut().zip(&frame.nerve).for_each(|(l, n)| *l = n * 200);
        let (mut areas, mut agree) = (vec![], vec![]);
        for key in 0..60 {
            let (luma, nerve) = augment(&frame, SIZE, Augment::Full, Rng::new(&[key]));
            let area = centre(&nerve).2;
            let inside = luma.iter().zip(&nerve).filter(|(l, n)| **l > 30 && **n == 1).count();
            let outside = luma.iter().zip(&nerve).filter(|(l, n)| **l > 130 && **n == 0).count();
            agree.push((inside as f64 / area as f64, outside));
            areas.push(area as f64 / 400.0);
        }
        assert!(areas.iter().all(|a| (0.6..1.6).contains(a)), "{areas:?}");
        assert!(areas.iter().any(|a| *a < 0.85) && areas.iter().any(|a| *a > 1.15), "{areas:?}");
        assert!(agree.iter().all(|(inside, outside)| *inside > 0.6 && *outside < 60), "{agree:?}");
    }

    #[test]
    fn each_change_of_look_does_what_it_says() {
        let grey = |look: &Photometric, y: usize| {
            let (mut row, mut spare, mut luma) = (vec![100.0; 64], vec![0.0; 64], vec![]);
            row[32] = 200.0;
            look.row(y, &mut row, &mut spare, &mut luma);
            luma
        };
        let plain = |height: usize| Photometric {
            height,
            tone: std::array::from_fn(|v| v as f32),
            gains: vec![1.0; height],
            blur: 0.0,
            speckle: None,
            shadow: None,
        };
        let same = grey(&plain(40), 20);
        assert_eq!((same[0], same[32]), (100, 200));
        let blur = Photometric { blur: 1.0, ..plain(40) };
        assert_eq!(grey(&blur, 0)[32], 200);
        let deep = grey(&blur, 39)[32];
        assert!((135..150).contains(&deep), "{deep}");
        let shadow = Shadow { from: 10.0, centre: 16.0, lean: 0.0, half: 8.0, dark: 0.5 };
        let shadow = Photometric { shadow: Some(shadow), ..plain(40) };
        assert_eq!(grey(&shadow, 5)[16], 100);
        assert_eq!((grey(&shadow, 39)[16], grey(&shadow, 39)[30]), (50, 100));
        let speckle = Photometric { speckle: Some(Speckle::draw(40, 64, &mut Rng::new(&[4]))), ..plain(40) };
        let noisy = grey(&speckle, 7);
        let mean = noisy.iter().map(|v| f64::from(*v)).sum::<f64>() / 64.0;
        assert!((90.0..115.0).contains(&mean) && noisy.iter().any(|v| v.abs_diff(100) > 4), "{noisy:?}");
        let gains = Photometric { gains: vec![1.2; 40], ..plain(40) };
        assert_eq!(grey(&gains, 3)[0], 120);
    }
}

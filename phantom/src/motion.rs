//! Where the probe is: put down somewhere, then held by a hand that is never quite still.

use std::f64::consts::TAU;

use crate::{HEIGHT, WIDTH, rng::Rng, rng::smoothstep};

/// Frames per second of a clip.
pub const FRAME_RATE: f64 = 30.0;

/// A map from picture coordinates to those of the tissue below it, both in pixels.
///
/// The skin stays under the probe whatever the hand does, so rotation and compression act on
/// what lies deeper.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pose {
    /// Lateral shift.
    pub shift: f32,
    /// Rotation in the picture plane, radians (small).
    pub tilt: f32,
    /// Axial compression, relative.
    pub squeeze: f32,
}

impl Pose {
    /// Tissue coordinates of picture row `y` as `[x at column 0, dx/dcolumn, y at column 0,
    /// dy/dcolumn]`: one row is one straight line.
    pub fn row(&self, y: f32) -> [f32; 4] {
        let centre = WIDTH as f32 / 2.0;
        let give = if y > 0.0 { y / (y + 60.0) } else { 0.0 };
        let slope = self.tilt * give;
        let depth = y * (1.0 + self.squeeze);
        [self.shift - self.tilt * y, 1.0, depth - slope * centre, slope]
    }

    pub fn to_tissue(self, x: f32, y: f32) -> (f32, f32) {
        let [x0, dx, y0, dy] = self.row(y);
        (x0 + dx * x, y0 + dy * x)
    }

    /// Inverse of [`Self::to_tissue`] to a fraction of a pixel.
    pub fn to_picture(self, x: f32, y: f32) -> (f32, f32) {
        let (mut px, mut py) = (x - self.shift, y);
        for _ in 0..4 {
            let (tx, ty) = self.to_tissue(px, py);
            (px, py) = (px + x - tx, py + y - ty);
        }
        (px, py)
    }
}

/// All that changes from one frame to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Motion since the probe was put down.
    pub pose: Pose,
    /// Share of the beam's power that comes from the level without the nerve, 0..1.
    pub away: f32,
    /// Out-of-plane angle: speckle decorrelates fully over a quarter turn.
    pub turn: f32,
    /// Gain change in dB.
    pub gain: f32,
    /// Radial growth of the arteries, relative.
    pub systole: f32,
    /// Axial collapse of the veins, relative.
    pub collapse: f32,
    /// Seed of the receiver's noise.
    pub noise: u64,
}

/// A slow wander: three sines of unrelated periods, so that any frame can be asked for first.
#[derive(Debug, Clone)]
struct Wander([(f64, f64, f64); 3]);

impl Wander {
    /// Reaches at most `reach`; the slowest period lies in `slow..2*slow` seconds.
    fn new(rng: &mut Rng, reach: f32, slow: f32) -> Self {
        let mut wave = |share: f32, period: f32| {
            let period = f64::from(rng.range(period, 2.0 * period));
            (f64::from(reach * share), TAU / period, f64::from(rng.range(0.0, 6.28)))
        };
        Self([wave(0.6, slow), wave(0.3, slow / 2.3), wave(0.1, slow / 5.1)])
    }

    fn at(&self, t: f64) -> f32 {
        self.0.iter().map(|&(reach, rate, phase)| reach * libm::sin(rate * t + phase)).sum::<f64>() as f32
    }
}

/// A patient's heart and breath, and the hand over them.
#[derive(Debug, Clone)]
pub struct Motion {
    lateral: Wander,
    tilt: Wander,
    squeeze: Wander,
    turn: Wander,
    gain: Wander,
    tremor: [Wander; 2],
    /// Slides along the neck, and where on that slide the nerve goes out of view.
    slide: Wander,
    edge: f32,
    heart_rate: f64,
    stroke: f32,
    breath: Wander,
    seed: u64,
}

impl Motion {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1, 0);
        Self {
            lateral: Wander::new(&mut rng, 30.0, 5.0),
            tilt: Wander::new(&mut rng, 0.04, 6.0),
            squeeze: Wander::new(&mut rng, 0.04, 4.0),
            turn: Wander::new(&mut rng, 2.5, 6.0),
            gain: Wander::new(&mut rng, 1.5, 7.0),
            tremor: [Wander::new(&mut rng, 0.5, 0.15), Wander::new(&mut rng, 0.002, 0.15)],
            slide: Wander::new(&mut rng, 1.0, 8.0),
            edge: rng.range(0.55, 1.0),
            heart_rate: f64::from(rng.range(0.9, 1.6)),
            stroke: rng.range(0.08, 0.14),
            breath: Wander::new(&mut rng, 0.25, 3.0),
            seed,
        }
    }

    /// The view of clip frame `n`.
    pub fn frame(&self, n: u64) -> View {
        let t = n as f64 / FRAME_RATE;
        let slide = self.slide.at(t);
        View {
            pose: Pose {
                shift: self.lateral.at(t) + self.tremor[0].at(t),
                tilt: self.tilt.at(t),
                squeeze: self.squeeze.at(t) + self.tremor[1].at(t),
            },
            away: smoothstep(self.edge - 0.12, self.edge + 0.12, slide),
            turn: self.turn.at(t) + 2.0 * slide,
            gain: self.gain.at(t),
            systole: self.stroke * pulse(t * self.heart_rate),
            collapse: 0.2 + self.breath.at(t),
            noise: Rng::new(self.seed, 2, n).next(),
        }
    }

    /// The view of still `n`, with the nerve or at a level without it.
    pub fn still(&self, n: u64, nerve: bool) -> View {
        let mut rng = Rng::new(self.seed, 3, n);
        View {
            away: if nerve { 0.0 } else { 1.0 },
            systole: rng.range(0.0, self.stroke),
            collapse: rng.range(-0.1, 0.5),
            noise: rng.next(),
            ..View::default()
        }
    }
}

/// An arterial diameter wave over one beat: a quick rise, a slow fall, 0..1.
fn pulse(beats: f64) -> f32 {
    let rise = (beats - libm::floor(beats)) / 0.14;
    (rise * libm::exp(1.0 - rise)) as f32
}

/// Where the probe was put down: the pose that the tissue is drawn in.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    pub pose: Pose,
    /// Whether the nerve is in view at this level.
    pub nerve: bool,
}

impl Placement {
    /// Puts the probe so that tissue point `(x, y)` is seen in the middle part of the picture.
    pub fn over(rng: &mut Rng, x: f32, y: f32, reach: f32, nerve: bool) -> Self {
        let tilt = rng.spread(0.12);
        let centre = WIDTH as f32 / 2.0 + rng.spread(reach);
        let shift = x - centre + tilt * y.min(HEIGHT as f32);
        Self { pose: Pose { shift, tilt, squeeze: rng.spread(0.06) }, nerve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_and_tissue_coordinates_are_inverse() {
        let pose = Pose { shift: -150.0, tilt: 0.12, squeeze: 0.05 };
        let (x, y) = pose.to_picture(20.0, 180.0);
        let (x, y) = pose.to_tissue(x, y);
        assert!((x - 20.0).abs() < 0.5 && (y - 180.0).abs() < 0.5, "{x} {y}");
    }

    #[test]
    fn beats_join_without_a_step() {
        assert!((pulse(0.9999) - pulse(1.0)).abs() < 0.02);
        assert!(pulse(0.14) > 0.99);
    }

    #[test]
    fn the_hand_never_jumps() {
        for seed in 0..20 {
            let motion = Motion::new(seed);
            for n in 0..300 {
                let (a, b) = (motion.frame(n), motion.frame(n + 1));
                assert!((a.pose.shift - b.pose.shift).abs() < 3.0);
                assert!((a.turn - b.turn).abs() < 0.3);
                assert!((a.away - b.away).abs() < 0.35);
            }
        }
    }
}

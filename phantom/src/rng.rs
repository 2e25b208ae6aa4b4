//! Seeded randomness: a stream for drawing things, a lattice for textures.

/// SplitMix64 (Steele, Lea and Flood 2014): one word of state, any of which is good, and the same bits everywhere.
#[derive(Debug, Clone)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Draws for one thing of one patient.
#[derive(Debug, Clone)]
pub struct Rng(SplitMix64);

impl Rng {
    /// The stream of item `index` of kind `kind` of patient `seed`.
    pub fn new(seed: u64, kind: u64, index: u64) -> Self {
        let outer = SplitMix64(seed ^ kind.wrapping_mul(0xD1B5_4A32_D192_ED03)).next();
        Self(SplitMix64(SplitMix64(outer ^ index).next()))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// Uniform in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 * (1.0 / (1u64 << 24) as f32);
        low + (high - low) * unit
    }

    /// Uniform in `-reach..reach`.
    pub fn spread(&mut self, reach: f32) -> f32 {
        self.range(-reach, reach)
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.range(0.0, 1.0) < probability
    }

    /// Uniform in `0..count`.
    pub fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    /// Four independent values of zero mean and unit variance from one draw.
    ///
    /// They are uniform, not normal: a resolution cell sums dozens of them.
    pub fn white(&mut self) -> [f32; 4] {
        let bits = self.next();
        let scale = 12f32.sqrt() / 65536.0;
        [0, 16, 32, 48].map(|shift| (((bits >> shift) as u16) as f32 - 32767.5) * scale)
    }
}

/// Smooth value noise in -1..1 with one feature per unit square.
#[derive(Debug, Clone, Copy)]
pub struct Texture(u32);

impl Texture {
    pub fn draw(rng: &mut Rng) -> Self {
        Self(rng.next() as u32)
    }

    pub fn at(self, x: f32, y: f32) -> f32 {
        let (ix, fx) = split(x);
        let (iy, fy) = split(y);
        let top = lerp(self.node(ix, iy), self.node(ix + 1, iy), fx);
        let bottom = lerp(self.node(ix, iy + 1), self.node(ix + 1, iy + 1), fx);
        lerp(top, bottom, fy)
    }

    fn node(self, x: i32, y: i32) -> f32 {
        let mut h = (x as u32).wrapping_mul(0x9E37_79B1)
            ^ (y as u32).wrapping_mul(0x85EB_CA77)
            ^ self.0.wrapping_mul(0xC2B2_AE3D);
        h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
        h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
        (h >> 8) as f32 * (2.0 / (1 << 24) as f32) - 1.0
    }
}

fn split(x: f32) -> (i32, f32) {
    let mut whole = x as i32;
    if whole as f32 > x {
        whole -= 1;
    }
    let t = x - whole as f32;
    (whole, t * t * (3.0 - 2.0 * t))
}

/// `a` at 0, `b` at 1.
pub fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, smooth between.
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The amplitude of a level in dB.
pub fn decibel(level: f32) -> f32 {
    libm::exp2f(level * (std::f32::consts::LOG2_10 / 20.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_has_zero_mean_and_unit_variance() {
        let mut rng = Rng::new(1, 2, 3);
        let values: Vec<f32> = (0..20_000).flat_map(|_| rng.white()).collect();
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / n;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn texture_is_continuous_over_lattice_lines() {
        let texture = Texture(7);
        for x in [-2.0, 0.0, 5.0] {
            let step = texture.at(x + 1e-3, 0.4) - texture.at(x - 1e-3, 0.4);
            assert!(step.abs() < 1e-2, "{step} at {x}");
        }
    }
}

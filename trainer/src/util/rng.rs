//! A small seeded generator, so that shuffles and splits stay the same across library versions.

/// SplitMix64 (Steele, Lea and Flood 2014): one word of state, any seed is good.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator for one purpose: the same keys give the same numbers, others unrelated ones.
    pub fn new(keys: &[u64]) -> Self {
        let mut rng = Self(0);
        for key in keys {
            rng.0 ^= key;
            rng.0 = rng.next();
        }
        rng
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`; `n` must not be 0. The bias is below 2^-32 for any data set's size.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_are_permutations_and_depend_on_every_key() {
        let order = |keys: &[u64]| {
            let mut items: Vec<u32> = (0..50).collect();
            Rng::new(keys).shuffle(&mut items);
            items
        };
        let mut sorted = order(&[1, 2]);
        sorted.sort();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_eq!(order(&[1, 2]), order(&[1, 2]));
        assert_ne!(order(&[1, 2]), order(&[1, 3]));
        assert_ne!(order(&[1, 2]), order(&[2, 2]));
    }
}

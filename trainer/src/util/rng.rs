//! Seeded draws, so that shuffles and splits stay the same across library versions.

use nervelight_phantom::SplitMix64;

/// A generator for one purpose.
#[derive(Debug, Clone)]
pub struct Rng(SplitMix64);

impl Rng {
    /// The same keys give the same numbers, others unrelated ones.
    pub fn new(keys: &[u64]) -> Self {
        let state = keys.iter().fold(0, |state, key| SplitMix64(state ^ key).next());
        Self(SplitMix64(state))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0.next()
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

//! Run-length encoding of masks: a nerve takes some hundred runs.

/// Runs of equal pixels, row by row, lossless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLengths {
    /// Value, and where the run ends.
    runs: Box<[(u8, u32)]>,
}

impl RunLengths {
    /// Of up to 4 billion pixels.
    pub fn of(pixels: &[u8]) -> Self {
        let mut runs: Vec<(u8, u32)> = vec![];
        for (at, &value) in pixels.iter().enumerate() {
            let end = at as u32 + 1;
            match runs.last_mut() {
                Some(run) if run.0 == value => run.1 = end,
                _ => runs.push((value, end)),
            }
        }
        Self { runs: runs.into() }
    }

    /// Value and pixels of every run.
    pub fn iter(&self) -> impl Iterator<Item = (u8, std::ops::Range<usize>)> {
        let mut from = 0;
        self.runs.iter().map(move |&(value, end)| {
            let range = from..end as usize;
            from = range.end;
            (value, range)
        })
    }

    /// Every pixel, row by row.
    pub fn pixels(&self) -> Vec<u8> {
        self.iter().flat_map(|(value, range)| std::iter::repeat_n(value, range.len())).collect()
    }

    /// Pixels of at least `least`.
    pub fn area(&self, least: u8) -> usize {
        self.iter().filter(|(value, _)| *value >= least).map(|(_, range)| range.len()).sum()
    }

    /// The sum of absolute differences from a mask of the same size, in pixel value units.
    pub fn sad(&self, other: &Self) -> u32 {
        let (mut sum, mut from, mut i, mut j) = (0, 0, 0, 0);
        while let (Some(a), Some(b)) = (self.runs.get(i), other.runs.get(j)) {
            let end = a.1.min(b.1);
            sum += u32::from(a.0.abs_diff(b.0)) * (end - from);
            from = end;
            i += usize::from(a.1 == end);
            j += usize::from(b.1 == end);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::Rng;

    #[test]
    fn runs_keep_every_pixel_and_the_difference() {
        let mut rng = Rng::new(&[5]);
        for values in [1, 2, 256] {
            let mut mask = || -> Vec<u8> { (0..999).map(|_| rng.below(values) as u8).collect() };
            let (a, b) = (mask(), mask());
            let runs = RunLengths::of(&a);
            assert_eq!(runs.pixels(), a);
            let want: u32 = a.iter().zip(&b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            assert_eq!(runs.sad(&RunLengths::of(&b)), want);
            assert_eq!(runs.area(1), a.iter().filter(|p| **p >= 1).count());
        }
        assert_eq!(RunLengths::of(&[]).sad(&RunLengths::of(&[])), 0);
    }
}

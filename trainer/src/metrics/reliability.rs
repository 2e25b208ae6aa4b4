//! Reliability: whether a probability of 70% is right seven times in ten.

use rayon::prelude::*;
use serde::Serialize;

use super::prediction::Prediction;

/// Bins of the diagram and of the error.
const BINS: usize = 10;
/// The least byte whose probability is 1% or more.
const CONSIDERED: usize = 3;

/// How often probabilities come true, over pixels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// Equally wide, of the pixels with 1% or more.
    pub bins: Vec<Bin>,
    /// Expected calibration error over all pixels, 0..1. Most are background that no network gets
    /// wrong, so it flatters.
    pub ece_all: Option<f64>,
    /// Over the pixels with a probability of 1% or more. These are chosen by the prediction alone: a
    /// band around the true nerve would leave out what is shown elsewhere.
    pub ece: Option<f64>,
    /// Part of the pixels with a probability of 1% or more.
    pub considered: Option<f64>,
}

/// Pixels of similar probability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bin {
    pub pixels: u64,
    /// Mean probability; 0 where there is no pixel.
    pub probability: f64,
    /// Part of them that are nerve; 0 where there is no pixel.
    pub nerve: f64,
}

/// Pixels and nerve pixels by the byte of their probability.
type Counts = [[u64; 2]; 256];

impl Reliability {
    /// Of the pixels of all `predictions`.
    pub fn of<'a>(predictions: impl ParallelIterator<Item = &'a Prediction<'a>>) -> Self {
        let count = |mut counts: Box<Counts>, p: &Prediction| {
            for (&byte, &nerve) in p.map.iter().zip(&p.frame.nerve) {
                let [pixels, nerves] = &mut counts[usize::from(byte)];
                *pixels += 1;
                *nerves += u64::from(nerve);
            }
            counts
        };
        let zero = || Box::new([[0; 2]; 256]);
        let add = |mut a: Box<Counts>, b: Box<Counts>| {
            a.iter_mut().flatten().zip(b.iter().flatten()).for_each(|(a, b)| *a += b);
            a
        };
        Self::of_counts(&predictions.fold(zero, count).reduce(zero, add))
    }

    fn of_counts(counts: &Counts) -> Self {
        let pixels = |bins: &[Bin]| bins.iter().map(|b| b.pixels).sum::<u64>();
        let error = |bins: &[Bin]| {
            let off = bins.iter().map(|b| b.pixels as f64 * (b.probability - b.nerve).abs()).sum::<f64>();
            let pixels = pixels(bins);
            (pixels > 0).then(|| off / pixels as f64)
        };
        let (all, bins) = (bins(counts, 0), bins(counts, CONSIDERED));
        let considered = (pixels(&all) > 0).then(|| pixels(&bins) as f64 / pixels(&all) as f64);
        Self { ece_all: error(&all), ece: error(&bins), considered, bins }
    }
}

/// Bins of the bytes from `first` on.
fn bins(counts: &Counts, first: usize) -> Vec<Bin> {
    let mut sums = [(0u64, 0u64, 0.0); BINS];
    for (byte, &[pixels, nerves]) in counts.iter().enumerate().skip(first) {
        let (count, nerve, probability) = &mut sums[(byte * BINS / 255).min(BINS - 1)];
        *count += pixels;
        *nerve += nerves;
        *probability += pixels as f64 * byte as f64 / 255.0;
    }
    let bin = |(pixels, nerves, sum): (u64, u64, f64)| match pixels {
        0 => Bin::default(),
        n => Bin { pixels, probability: sum / n as f64, nerve: nerves as f64 / n as f64 },
    };
    sums.map(bin).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_equals_a_hand_computed_value() {
        let mut counts = [[0; 2]; 256];
        // 80% said and 60% right; background said 0 and right.
        counts[204] = [10, 6];
        counts[0] = [90, 0];
        let c = Reliability::of_counts(&counts);
        assert!((c.ece.unwrap() - 0.2).abs() < 1e-12, "{c:?}");
        assert!((c.ece_all.unwrap() - 0.02).abs() < 1e-12, "{c:?}");
        assert_eq!(c.considered, Some(0.1));
        let filled: Vec<usize> = (0..BINS).filter(|&i| c.bins[i].pixels > 0).collect();
        assert_eq!(filled, [8]);
    }

    #[test]
    fn certainty_is_in_the_last_bin_and_nothing_is_nan() {
        let mut counts = [[0; 2]; 256];
        counts[255] = [4, 4];
        let c = Reliability::of_counts(&counts);
        assert_eq!((c.ece, c.bins[9].pixels, c.bins[9].nerve), (Some(0.0), 4, 1.0));
        let nothing = Reliability::of_counts(&[[0; 2]; 256]);
        assert_eq!((nothing.ece, nothing.ece_all, nothing.considered), (None, None, None));
        let unseen = Reliability::of_counts(&{
            let mut counts = [[0; 2]; 256];
            counts[1] = [9, 1];
            counts
        });
        assert_eq!((unseen.ece, unseen.considered), (None, Some(0.0)));
    }
}

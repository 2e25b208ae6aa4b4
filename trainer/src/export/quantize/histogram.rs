//! Histograms of absolute values, and where to cut them for 8-bit integers.

use std::fmt;

/// Bins between 0 and the largest value.
pub const BINS: usize = 2048;
/// How a threshold is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The largest value.
    Max,
    /// Least relative entropy of the distribution to the quantised one (Migacz 2017, "8-bit inference
    /// with TensorRT").
    Entropy,
    /// The value that so many of 100 000 exceed.
    Percentile(u32),
    /// Least mean squared error.
    Mse,
}

impl Method {
    /// In the order in which they are tried; the first of equals is taken.
    pub const ALL: [Self; 6] = [
        Self::Max,
        Self::Percentile(1),
        Self::Percentile(10),
        Self::Percentile(100),
        Self::Mse,
        Self::Entropy,
    ];
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Entropy => f.write_str("entropy"),
            Self::Percentile(over) => write!(f, "percentile {}", 100.0 - f64::from(*over) / 1e3),
            Self::Mse => f.write_str("MSE"),
        }
    }
}

/// Absolute values of one layer's output over all calibration frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper end of the last bin.
    pub largest: f64,
    /// Values in each of [`BINS`] bins of equal width from 0.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// The value at which to cut for integers with `levels` magnitudes above 0.
    pub fn threshold(&self, method: Method, levels: usize) -> f64 {
        let total: u64 = self.counts.iter().sum();
        if total == 0 || self.largest <= 0.0 {
            return self.largest.max(0.0);
        }
        let bins = match method {
            Method::Max => self.counts.len(),
            Method::Percentile(over) => {
                self.bins_holding((total as f64 * (1.0 - f64::from(over) / 1e5)).round() as u64)
            }
            Method::Mse => self.least(levels, |bins| self.squared_error(bins, levels)),
            Method::Entropy => self.least(levels, |bins| self.divergence(bins, levels)),
        };
        self.largest * bins as f64 / self.counts.len() as f64
    }

    /// The fewest bins that hold `count` values.
    fn bins_holding(&self, count: u64) -> usize {
        let mut sum = 0;
        let enough = |bin: &u64| {
            sum += bin;
            sum >= count
        };
        self.counts.iter().position(enough).map_or(self.counts.len(), |bin| bin + 1)
    }

    /// The number of bins with the least `cost`; the most of equals, which cuts least.
    fn least(&self, levels: usize, cost: impl Fn(usize) -> f64) -> usize {
        let all = self.counts.len();
        let step = (all / 128).max(1);
        let tried = (0..).map(|i| all.saturating_sub(i * step)).take_while(|bins| *bins >= levels.min(all));
        let costs = tried.map(|bins| (bins, cost(bins)));
        costs.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(all, |(bins, _)| bins)
    }

    /// Sum of squared errors in bins when cut after `bins`.
    fn squared_error(&self, bins: usize, levels: usize) -> f64 {
        let unit = bins as f64 / levels as f64;
        let error = |(bin, count): (usize, &u64)| {
            let value = bin as f64 + 0.5;
            let held = (value / unit).round().min(levels as f64) * unit;
            *count as f64 * (value - held).powi(2)
        };
        self.counts.iter().enumerate().map(error).sum()
    }

    /// Relative entropy of the distribution to the one that `levels` integers can hold. What is cut off is
    /// added to the last bin. The first bin does not count: zeros stay zeros however they are cut.
    fn divergence(&self, bins: usize, levels: usize) -> f64 {
        let (kept, cut) = self.counts.split_at(bins);
        let mut wanted: Vec<f64> = kept.iter().map(|count| *count as f64).collect();
        wanted[0] = 0.0;
        let known = wanted.clone();
        wanted[bins - 1] += cut.iter().sum::<u64>() as f64;
        let mut held = vec![0.0; bins];
        for level in 0..levels {
            let span = level * bins / levels..(level + 1) * bins / levels;
            let filled = span.clone().filter(|bin| wanted[*bin] > 0.0).count();
            let mean = known[span.clone()].iter().sum::<f64>() / filled.max(1) as f64;
            for bin in span.filter(|bin| wanted[*bin] > 0.0) {
                held[bin] = mean;
            }
        }
        let [all, part] = [&wanted, &held].map(|counts| counts.iter().sum::<f64>());
        if all == 0.0 {
            return 0.0;
        }
        let pairs = wanted.iter().zip(&held).filter(|(wanted, _)| **wanted > 0.0);
        // What no level holds is as far off as one value in all would be.
        pairs.map(|(p, q)| p / all * ((p / all) / (q / part.max(1.0)).max(1.0 / (all + 1.0))).ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(count: impl Fn(usize) -> u64) -> Histogram {
        Histogram { largest: 8.0, counts: (0..BINS).map(count).collect() }
    }

    const TRIED: [Method; 4] = [Method::Max, Method::Percentile(10), Method::Mse, Method::Entropy];

    fn thresholds(histogram: &Histogram) -> [f64; 4] {
        TRIED.map(|method| histogram.threshold(method, 127))
    }

    #[test]
    fn even_values_are_not_cut() {
        for threshold in thresholds(&histogram(|_| 100)) {
            assert!(threshold > 7.9, "{threshold}");
        }
    }

    #[test]
    fn one_far_value_is_cut_by_all_but_the_largest() {
        // A million values up to 1, and one of 8.
        let lone = histogram(|bin| if bin < BINS / 8 { 4000 } else { u64::from(bin == BINS - 1) });
        let [max, percentile, mse, _] = thresholds(&lone);
        assert_eq!(max, 8.0);
        assert!((percentile - 1.0).abs() < 0.01, "{percentile}");
        assert!((0.9..2.0).contains(&mse), "{mse}");
        // More levels can afford to keep more.
        assert!(lone.threshold(Method::Mse, 255) >= mse);
    }

    #[test]
    fn percentile_counts_by_hand() {
        // 9999 values in the first bin, one in the 1024th.
        let halves = histogram(|bin| [0, 9999, 1][usize::from(bin == 0) + 2 * usize::from(bin == 1023)]);
        assert_eq!(halves.threshold(Method::Percentile(10), 127), 8.0 / BINS as f64);
        let more = histogram(|bin| [0, 9998, 2][usize::from(bin == 0) + 2 * usize::from(bin == 1023)]);
        assert_eq!(more.threshold(Method::Percentile(10), 127), 4.0);
    }

    #[test]
    fn a_layer_that_is_zero_has_the_threshold_zero() {
        let zero = Histogram { largest: 0.0, counts: vec![9; BINS] };
        assert_eq!(thresholds(&zero), [0.0; 4]);
        assert_eq!(thresholds(&histogram(|_| 0)), [8.0; 4]);
    }

    #[test]
    fn the_entropy_threshold_of_a_bell_lies_in_its_tail() {
        // Of standard deviation 1: TensorRT's method is known to cut between 2.5 and 5 of it.
        let bell = histogram(|bin| {
            let x = 8.0 * (bin as f64 + 0.5) / BINS as f64;
            (1e6 * (-x * x / 2.0).exp()).round() as u64
        });
        let [_, percentile, mse, entropy] = thresholds(&bell);
        assert!((percentile - 3.89).abs() < 0.02, "{percentile}");
        for threshold in [mse, entropy] {
            assert!((2.5..6.0).contains(&threshold), "{threshold}");
        }
    }
}

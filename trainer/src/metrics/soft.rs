//! The published figures of a batch: the probability is never thresholded.

use tch::{Kind, Tensor};

/// Sums over every pixel of a batch: truth `t` in {0, 1}, probability `p` in 0..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sums {
    /// Σ t·p
    pub both: f64,
    /// Σ t
    pub truth: f64,
    /// Σ p
    pub predicted: f64,
}

/// The published project's figures. They are soft: the probability is never thresholded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SoftMetrics {
    /// (I + 1) / (Σt + Σp - I + 1)
    pub iou: f64,
    /// (2I + 1) / (Σt + Σp + 1)
    pub dice: f64,
    /// Pixels: Σp - I
    pub false_positives: f64,
    /// Pixels: Σt - I
    pub false_negatives: f64,
    /// I / (Σp + 1)
    pub precision: f64,
    /// I / (Σt + 1)
    pub recall: f64,
    /// 2PR / (P + R), and 0 where that is 0/0
    pub f_score: f64,
}

impl Sums {
    /// Sums over `truth` and `probability`, of one shape.
    pub fn of(truth: &Tensor, probability: &Tensor) -> Self {
        // 32-bit sums of 24 million pixels lose digits.
        let sum = |x: &Tensor| x.sum(Kind::Double).double_value(&[]);
        Self { both: sum(&(truth * probability)), truth: sum(truth), predicted: sum(probability) }
    }

    /// All figures.
    pub fn figures(self) -> SoftMetrics {
        let Self { both, truth, predicted } = self;
        SoftMetrics {
            iou: (both + 1.0) / (truth + predicted - both + 1.0),
            dice: (2.0 * both + 1.0) / (truth + predicted + 1.0),
            false_positives: predicted - both,
            false_negatives: truth - both,
            precision: both / (predicted + 1.0),
            recall: both / (truth + 1.0),
            // 2PR / (P + R) with P and R put in; this form has no 0/0.
            f_score: 2.0 * both / (truth + predicted + 2.0),
        }
    }
}

impl SoftMetrics {
    /// Names of [`Self::values`], as in `metrics.csv`.
    pub const NAMES: [&str; 7] =
        ["iou", "dice", "false_positives", "false_negatives", "precision", "recall", "f_score"];

    /// The figures in the order of [`Self::NAMES`].
    pub fn values(&self) -> [f64; 7] {
        [
            self.iou,
            self.dice,
            self.false_positives,
            self.false_negatives,
            self.precision,
            self.recall,
            self.f_score,
        ]
    }

    /// From values in the order of [`Self::NAMES`].
    pub fn from_values(values: [f64; 7]) -> Self {
        let [iou, dice, false_positives, false_negatives, precision, recall, f_score] = values;
        Self { iou, dice, false_positives, false_negatives, precision, recall, f_score }
    }

    /// The mean over batches, as published: every batch weighs the same.
    pub fn mean(batches: &[Self]) -> Self {
        let mut sum = [0.0; 7];
        for batch in batches {
            sum.iter_mut().zip(batch.values()).for_each(|(sum, value)| *sum += value);
        }
        Self::from_values(sum.map(|sum| sum / batches.len().max(1) as f64))
    }
}

/// The published figures: mean over batches of `batch_size` frames.
pub fn soft(frames: impl IntoIterator<Item = Sums>, batch_size: usize) -> SoftMetrics {
    let frames: Vec<Sums> = frames.into_iter().collect();
    let batches = frames.chunks(batch_size).map(|batch| {
        let mut sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        for frame in batch {
            sums.both += frame.both;
            sums.truth += frame.truth;
            sums.predicted += frame.predicted;
        }
        sums.figures()
    });
    SoftMetrics::mean(&batches.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_equal_hand_computed_values() {
        let truth = Tensor::from_slice(&[1.0f32, 1.0, 0.0, 0.0]);
        let probability = Tensor::from_slice(&[0.5f32, 1.0, 0.25, 0.0]);
        let sums = Sums::of(&truth, &probability);
        assert_eq!(sums, Sums { both: 1.5, truth: 2.0, predicted: 1.75 });
        let f = sums.figures();
        let (p, r) = (1.5 / 2.75, 1.5 / 3.0);
        for (got, expected) in
            f.values().into_iter().zip([2.5 / 3.25, 4.0 / 4.75, 0.25, 0.5, p, r, 2.0 * p * r / (p + r)])
        {
            assert!((got - expected).abs() < 1e-12, "{f:?}");
        }
    }

    #[test]
    fn empty_truth_is_finite() {
        let f = Sums { both: 0.0, truth: 0.0, predicted: 3.0 }.figures();
        assert_eq!(f.iou, 0.25);
        assert_eq!(f.dice, 0.25);
        assert_eq!((f.precision, f.recall, f.f_score), (0.0, 0.0, 0.0));
    }

    #[test]
    fn mean_weighs_batches_the_same() {
        let one = SoftMetrics::from_values([1.0; 7]);
        assert_eq!(SoftMetrics::mean(&[one, SoftMetrics::default()]), SoftMetrics::from_values([0.5; 7]));
    }
}

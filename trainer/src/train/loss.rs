//! Losses: what training minimises.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// A loss by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// The published project's F-score. It says nothing about frames without nerve: a batch of
    /// nothing else has no gradient.
    WeightedF,
    /// Cross-entropy of every pixel plus one minus soft Dice: learns presence too.
    BceDice,
    /// Focal Tversky (Abraham and Khan 2019): missed pixels weigh more than invented ones, and batches
    /// that are nearly right still count.
    FocalTversky,
}

/// A loss with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Which.
    pub kind: LossKind,
    /// Weight of recall in [`LossKind::WeightedF`]; it stands where F-beta has beta squared.
    pub recall_weight: f64,
    /// The published program hands truth and prediction over in the wrong order, so that what it
    /// logs as false positives and precision are false negatives and recall, and `recall_weight` favours
    /// precision. True does the same to the loss; the figures keep their right names.
    pub swap_truth_and_prediction: bool,
    /// Weight of missed pixels in [`LossKind::FocalTversky`], 0..1; invented ones have the rest.
    pub tversky_alpha: f64,
    /// Its exponent; below 1, batches that are nearly right count more.
    pub tversky_gamma: f64,
}

impl Loss {
    /// The loss of `logits` against `truth` (0 or 1), both `[N, 1, H, W]`, as a scalar.
    pub fn of(&self, logits: &Tensor, truth: &Tensor) -> Tensor {
        match self.kind {
            LossKind::WeightedF => self.weighted_f(&logits.sigmoid(), truth),
            LossKind::BceDice => {
                let none = None::<&Tensor>;
                let entropy = logits.binary_cross_entropy_with_logits(truth, none, none, Reduction::Mean);
                entropy + 1.0 - dice(&logits.sigmoid(), truth)
            }
            LossKind::FocalTversky => self.focal_tversky(&logits.sigmoid(), truth),
        }
    }

    /// -(1 + w) P R / (w P + R), with P = I / (Σp + 1) and R = I / (Σt + 1) put in: the same value
    /// without the 0/0 of a batch that has no nerve.
    fn weighted_f(&self, probability: &Tensor, truth: &Tensor) -> Tensor {
        let both = (truth * probability).sum(Kind::Float);
        let (mut truth, mut predicted) = (truth.sum(Kind::Float), probability.sum(Kind::Float));
        if self.swap_truth_and_prediction {
            std::mem::swap(&mut truth, &mut predicted);
        }
        both * -(1.0 + self.recall_weight) / ((truth + 1.0) * self.recall_weight + predicted + 1.0)
    }

    /// (1 - T)^gamma with T = (I + 1) / (I + a (Σt - I) + (1 - a) (Σp - I) + 1).
    fn focal_tversky(&self, probability: &Tensor, truth: &Tensor) -> Tensor {
        let both = (truth * probability).sum(Kind::Float);
        let missed = truth.sum(Kind::Float) - &both;
        let invented = probability.sum(Kind::Float) - &both;
        let wrong = missed * self.tversky_alpha + invented * (1.0 - self.tversky_alpha);
        // 1 - T, without the loss of digits near 1; the slope of a root has no end at 0.
        let distance = &wrong / (both + &wrong + 1.0);
        distance.clamp_min(1e-7).pow_tensor_scalar(self.tversky_gamma)
    }
}

/// Soft Dice over every pixel of the batch, smoothed by one.
fn dice(probability: &Tensor, truth: &Tensor) -> Tensor {
    let both = (truth * probability).sum(Kind::Float);
    (both * 2.0 + 1.0) / (truth.sum(Kind::Float) + probability.sum(Kind::Float) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTED: Loss = Loss {
        kind: LossKind::WeightedF,
        recall_weight: 1.5,
        swap_truth_and_prediction: false,
        tversky_alpha: 0.7,
        tversky_gamma: 0.75,
    };

    fn example() -> (Tensor, Tensor) {
        let probability = Tensor::from_slice(&[0.5f32, 0.8, 0.25, 0.1]).view([1, 1, 2, 2]);
        let truth = Tensor::from_slice(&[1.0f32, 1.0, 0.0, 0.0]).view([1, 1, 2, 2]);
        (probability.logit(None), truth)
    }

    #[test]
    fn weighted_f_is_the_published_formula() {
        let (logits, truth) = example();
        let (p, r) = (1.3 / 2.65, 1.3 / 3.0);
        let formula = |p: f64, r: f64| -2.5 * p * r / (1.5 * p + r);
        let got = WEIGHTED.of(&logits, &truth).double_value(&[]);
        assert!((got - formula(p, r)).abs() < 1e-6, "{got}");
        let swap_truth_and_prediction =
            Loss { swap_truth_and_prediction: true, ..WEIGHTED }.of(&logits, &truth).double_value(&[]);
        assert!((swap_truth_and_prediction - formula(r, p)).abs() < 1e-6, "{swap_truth_and_prediction}");
    }

    #[test]
    fn recall_counts_more() {
        // The same intersection; one has more false positives, the other more false negatives.
        let few = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 0.0]);
        let many = Tensor::from_slice(&[1.0f32, 1.0, 1.0, 0.0]);
        let over = WEIGHTED.weighted_f(&many, &few).double_value(&[]);
        let under = WEIGHTED.weighted_f(&few, &many).double_value(&[]);
        assert!(over < under, "{over} {under}");
    }

    #[test]
    fn bce_dice_equals_hand_computed_value() {
        let (logits, truth) = example();
        let entropy = -(0.5f64.ln() + 0.8f64.ln() + (1.0f64 - 0.25).ln() + (1.0f64 - 0.1).ln()) / 4.0;
        let expected = entropy + 1.0 - 3.6 / 4.65;
        let loss = Loss { kind: LossKind::BceDice, ..WEIGHTED };
        let got = loss.of(&logits, &truth).double_value(&[]);
        assert!((got - expected).abs() < 1e-6, "{got} for {expected}");
    }

    #[test]
    fn focal_tversky_equals_hand_computed_value_and_is_flat_at_perfection() {
        let (logits, truth) = example();
        // I 1.3, missed 0.7, invented 0.35.
        let tversky: f64 = 2.3 / (1.3 + 0.7 * 0.7 + 0.3 * 0.35 + 1.0);
        let loss = Loss { kind: LossKind::FocalTversky, ..WEIGHTED };
        let got = loss.of(&logits, &truth).double_value(&[]);
        assert!((got - (1.0 - tversky).powf(0.75)).abs() < 1e-6, "{got}");
        let perfect = ((truth.copy() - 0.5) * 400.0).set_requires_grad(true);
        loss.of(&perfect, &truth).backward();
        assert_eq!(perfect.grad().isfinite().all().int64_value(&[]), 1);
    }

    #[test]
    fn batches_without_nerve_stay_finite() {
        for kind in [LossKind::WeightedF, LossKind::BceDice, LossKind::FocalTversky] {
            let logits = Tensor::from_slice(&[-80.0f32, 0.0, 80.0]).set_requires_grad(true);
            let loss = Loss { kind, ..WEIGHTED }.of(&logits, &Tensor::zeros_like(&logits.detach()));
            loss.backward();
            let finite = logits.grad().isfinite().all().int64_value(&[]) == 1;
            assert!(finite && loss.double_value(&[]).is_finite(), "{kind:?}");
        }
    }
}

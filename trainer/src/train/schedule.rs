//! The learning rate over a run.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It does not.
    Constant,
    /// When the validation loss stops falling; see [`Plateau`].
    Plateau,
    /// Along half a cosine, to nothing at the end of the run (Loshchilov and Hutter 2017, one cycle).
    Cosine,
}

/// The learning rate of every step but for what validation adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// How it falls.
    pub kind: Kind,
    /// Highest rate.
    pub rate: f64,
    /// Steps over which it rises linearly from nothing.
    pub warmup: i64,
    /// Steps of the run.
    pub steps: i64,
}

impl Schedule {
    /// The rate of step `step`, from 0, after what `plateau` has seen.
    pub fn rate(&self, step: i64, plateau: &Plateau) -> f64 {
        let rise = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        rise * match self.kind {
            Kind::Constant => self.rate,
            Kind::Plateau => plateau.rate,
            Kind::Cosine => {
                let after = (step - self.warmup).max(0) as f64;
                let part = after / (self.steps - self.warmup).max(1) as f64;
                self.rate * 0.5 * (1.0 + (PI * part.min(1.0)).cos())
            }
        }
    }
}

/// `ReduceLROnPlateau` of PyTorch: mode `min`, relative threshold.
///
/// Its rule is kept to the letter, so with losses below zero, as those of the F-score, a value
/// equal to the best still counts as better: `v < best * (1 - threshold)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The rate now.
    pub rate: f64,
    /// Factor of each drop.
    factor: f64,
    /// Validations without improvement that are let pass.
    patience: u32,
    threshold: f64,
    best: Option<f64>,
    bad: u32,
}

impl Plateau {
    /// Starts at `rate`; PyTorch's threshold of 1e-4.
    pub fn new(rate: f64, factor: f64, patience: u32) -> Self {
        Self { rate, factor, patience, threshold: 1e-4, best: None, bad: 0 }
    }

    /// Takes the loss of one validation; true when the rate dropped.
    pub fn step(&mut self, loss: f64) -> bool {
        if self.best.is_none_or(|best| loss < best * (1.0 - self.threshold)) {
            self.best = Some(loss);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.bad <= self.patience {
            return false;
        }
        self.bad = 0;
        let rate = self.rate * self.factor;
        // PyTorch ignores drops smaller than this.
        let drops = self.rate - rate > 1e-8;
        if drops {
            self.rate = rate;
        }
        drops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_rises_then_falls_to_nothing() {
        let schedule = Schedule { kind: Kind::Cosine, rate: 0.8, warmup: 4, steps: 104 };
        let plateau = Plateau::new(0.8, 0.1, 2);
        for (step, expected) in [(0, 0.2), (1, 0.4), (3, 0.8), (4, 0.8), (54, 0.4), (104, 0.0), (200, 0.0)] {
            let rate = schedule.rate(step, &plateau);
            assert!((rate - expected).abs() < 1e-12, "step {step}: {rate}");
        }
    }

    #[test]
    fn plateau_and_constant_follow_their_rate_after_the_rise() {
        let mut plateau = Plateau::new(0.8, 0.1, 0);
        plateau.step(1.0);
        plateau.step(2.0);
        let rate = |kind, step| Schedule { kind, rate: 0.8, warmup: 2, steps: 10 }.rate(step, &plateau);
        assert!((rate(Kind::Plateau, 0) - 0.04).abs() < 1e-12);
        assert!((rate(Kind::Plateau, 9) - 0.08).abs() < 1e-12);
        assert_eq!(rate(Kind::Constant, 9), 0.8);
    }

    #[test]
    fn equals_pytorch() {
        let mut plateau = Plateau::new(1.0, 0.1, 2);
        // torch 2.11, patience 2: the loss and the rate after it.
        for (loss, rate) in [
            (0.9, 1.0),
            (0.8, 1.0),
            (0.79999, 1.0),
            (0.81, 1.0),
            (0.8, 0.1),
            (0.8, 0.1),
            (0.8, 0.1),
            (0.85, 0.01),
            (0.5, 0.01),
            (-0.1, 0.01),
            (-0.1, 0.01),
            (-0.09, 0.01),
            (-0.09, 0.01),
            (-0.09, 0.001),
            (-0.2, 0.001),
        ] {
            plateau.step(loss);
            assert!((plateau.rate - rate).abs() < 1e-12, "after {loss}: {}", plateau.rate);
        }
    }

    #[test]
    fn equal_negative_losses_count_as_better() {
        let mut plateau = Plateau::new(1.0, 0.1, 2);
        assert!((0..20).all(|_| !plateau.step(-0.7)));
    }
}

//! Learning rate that drops when the validation loss stops falling.

use serde::{Deserialize, Serialize};

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

//! The state of a run: what a checkpoint holds besides tensors.

use serde::{Deserialize, Serialize};

use super::history::Validation;
use super::schedule::Plateau;

/// Everything that a resumed run needs besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// Steps done in it.
    pub done: usize,
    /// Steps done in all.
    pub step: i64,
    /// What the learning rate has seen of validation.
    pub plateau: Plateau,
    /// Training losses since the last validation.
    pub losses: Vec<f64>,
    /// Lowest loss of a validation over all frames.
    pub best: Option<f64>,
    /// Epochs since then.
    pub since_best: usize,
    /// Convolutions that are frozen; none in checkpoints of before this was stored.
    #[serde(default)]
    pub frozen: Option<usize>,
    /// Every validation so far.
    pub history: Vec<Validation>,
}

impl State {
    /// Before the first batch.
    pub fn new(plateau: Plateau, frozen: usize) -> Self {
        let (losses, history) = (vec![], vec![]);
        Self {
            epoch: 0,
            done: 0,
            step: 0,
            plateau,
            losses,
            best: None,
            since_best: 0,
            frozen: Some(frozen),
            history,
        }
    }
}

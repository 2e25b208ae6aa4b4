//! What others than the engine's thread find worth keeping for retraining.

use std::sync::Arc;

use nervelight_engines::Plane;

use crate::infer::Model;

/// Takes crops that a model should learn from. It must not wait.
pub trait Offer: Send + Sync {
    /// Offers a crop with the map that `model` computed of it.
    fn offer(&self, crop: &Plane, map: &Plane, model: &Arc<Model>, why: Why);
}

/// Why a crop is offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Why {
    /// The model and the one in its shadow find different nerves.
    Disagreement {
        /// Dice of both, 0 to 1.
        dice: f64,
    },
}

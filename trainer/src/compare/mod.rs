//! Two evaluations of the same frames against each other.
//!
//! Uses `report`, `metrics` and `util`.

mod comparison;
pub mod output;
pub mod record;
mod saved;

pub use comparison::Comparison;
pub use saved::SavedEvaluation;

#[cfg(test)]
pub use comparison::tests;

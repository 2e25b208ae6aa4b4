//! Two evaluations of the same frames against each other.
//!
//! Uses `report`, `metrics` and `util`.

mod comparison;
pub mod output;
mod saved;

pub use comparison::Comparison;
pub use saved::Evaluation;

#[cfg(test)]
pub use comparison::tests;

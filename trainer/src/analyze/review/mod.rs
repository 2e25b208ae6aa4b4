//! Masks that a model drew, before a person: accepted, corrected with a brush, or rejected.

mod serve;
mod session;

pub use serve::serve;
pub use session::Session;
#[cfg(test)]
pub use session::{Refusal, What, Wish};

//! Decisions between masks that contradict each other: by a person on a local page, or by a rule.

mod auto;
pub mod cases;
mod serve;
mod session;
#[cfg(test)]
mod tests;

pub use auto::{Auto, resolve as auto};
pub use serve::serve;
pub use session::Session;

//! What was decided about frames that contradict each other: `corrections.toml`, written by
//! `analyze resolve` and applied when the data is loaded. Data files are never changed.
//!
//! ```toml
//! schema = 1
//! data = "…"              # digest of the data set that was decided on
//!
//! [[decision]]
//! rule = "keep"           # keep, union, majority, empty, own
//! by = "person"
//!
//! [[decision.frame]]
//! name = "31_52"          # for people; a frame is known by its pixels
//! picture = "…"           # SHA-256 of the frame's 580x420 pixels
//! mask = "…"              # SHA-256 of its mask's
//! keep = true             # the mask that all frames of the decision get
//! ```
//!
//! Pixels rather than files: a frame that is renamed, moved, or stored again as PNG is still what the
//! person looked at, and one whose pixels differ is not.

mod apply;
mod decision;
mod file;
mod places;
#[cfg(test)]
mod tests;

pub use apply::Applied;
pub use decision::{Decision, Rule, Subject};
pub use file::Corrections;

//! Parameters on disk: checkpoints, bundles, other people's weights, and random ones to begin with.
//!
//! Uses `net` and `util`.

use std::path::Path;

pub mod checkpoint;
mod error;
pub mod exported;
mod file;
mod random;
#[cfg(test)]
mod tests;

pub use checkpoint::Checkpoint;
pub use file::{from_file, whole};
pub use random::{Start, random};

/// Whether the name of `path` ends in `.extension`.
fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

//! The state of a data set: pairs of nearly equal frames, masks that contradict each other, odd files.
//!
//! Uses `report` (charts), `data` and `util`.

mod file;
mod findings;
mod grey;
mod groups;
mod page;
mod picture;
#[cfg(test)]
pub mod planted;
mod profile;
pub mod resolve;
pub mod review;
mod scan;
mod strip;

pub use file::Scan;
#[cfg(test)]
pub use file::ScanError;
pub use findings::Findings;
pub use page::{Shown, html};
pub use scan::{DEFAULT_LIMIT, load, scan};

/// Frames this close are duplicates, as in the published project.
pub const DUPLICATES: u32 = 1000;

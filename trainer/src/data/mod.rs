//! Frames with their nerve: read, cropped, split, batched.

mod augment;
mod batch;
mod dataset;
mod read;
mod split;

pub use batch::{Batch, batch};
pub use dataset::{Dataset, Frame};
pub use split::{Split, SplitBy};

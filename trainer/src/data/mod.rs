//! Frames with their nerve: read, cropped, split, batched.

mod augment;
mod batch;
mod dataset;
mod read;
mod recorded;
mod runs;
mod split;
mod stack;

pub use batch::{Batch, batch};
pub use dataset::{Dataset, Frame, NERVE};
pub use read::{FRAME_HEIGHT, FRAME_WIDTH};
pub use recorded::{Recorded, RecordedFrame};
pub use runs::Runs;
pub use split::{Split, SplitBy};

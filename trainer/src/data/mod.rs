//! Frames with their nerve: read, cropped, split, batched.

mod augment;
mod batch;
mod corrections;
mod dataset;
mod read;
mod recorded;
mod runs;
mod sampler;
mod split;
mod stack;

pub use augment::Augment;
pub use batch::{Batch, Vary, batch};
pub use corrections::{Corrections, Decision, Rule, Subject};
pub use dataset::{Dataset, Frame, NERVE};
pub use read::{FRAME_HEIGHT, FRAME_WIDTH};
pub use recorded::{Recorded, RecordedFrame};
pub use runs::Runs;
pub use sampler::{Sampler, order};
pub use split::{Split, SplitBy, SplitError};

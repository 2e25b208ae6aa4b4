//! Frames with their nerve: read, corrected, cropped, compared, split, augmented, batched.
//!
//! Uses `util` only.

mod augment;
mod batch;
mod corrections;
pub mod crossings;
mod dataset;
pub mod drafts;
mod error;
mod frame;
mod listing;
mod read;
mod recorded;
mod run_lengths;
mod sample;
mod sampler;
pub mod similar;
mod split;
mod stack;

pub use augment::Augment;
pub use batch::{Augmentation, Batch, batch};
pub use corrections::{Corrections, Decision, Rule, Subject};
pub use dataset::{Dataset, NERVE};
pub use frame::Frame;
pub use listing::highest;
pub use read::{FRAME_HEIGHT, FRAME_WIDTH};
pub use recorded::{Recorded, RecordedFrame};
pub use run_lengths::RunLengths;
pub use sample::{evenly_spaced, spread_over_patients};
pub use sampler::{Sampler, order};
pub use split::{Part, Split, SplitBy, SplitError, select};
pub use stack::Stack;

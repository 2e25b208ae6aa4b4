//! The trainer: makes data, trains, evaluates and exports the nerve segmentation network.
//!
//! One folder is one room, and its `mod.rs` says what it may use. `cmd` knows all; then `export`, `compare`,
//! `analyze`, `import` and `sign`; `report`; `evaluate`; `train`; `metrics`; `weights`; `net` and `data`; `util`.

#![warn(clippy::print_stderr, clippy::print_stdout)]

#[macro_use(errln, out, outln)]
extern crate nervelight_engines;

pub mod cmd;

mod analyze;
mod compare;
mod data;
mod evaluate;
mod export;
mod import;
mod metrics;
mod net;
mod phantom;
mod report;
mod sign;
mod train;
mod util;
mod weights;

/// What the benchmarks measure.
pub mod bench {
    pub use crate::data::similar::{Sad, all, below_by};
    pub use crate::data::{Augment, Augmentation, Frame, Stack, batch};
    pub use crate::net::{Module, Network, NumberFormat};
    pub use crate::train::{Adam, Loss, LossKind};
    pub use crate::util::memory;
    pub use crate::weights::random;
}

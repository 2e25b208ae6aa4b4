//! Inference: the engine on a thread of its own, so that the video never waits for it longer than
//! it is told to, whether the engine is slow, fails, panics or hangs. It may use engines and values, and nothing else of the daemon.

mod handle;
mod job;
mod offer;
mod onlooker;
mod shared;
mod steady;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use nervelight_engines::{Engine, EngineError};

pub use handle::{Inference, Openings};
#[cfg(test)]
pub use job::Computed;
pub use job::{Job, Origin};
pub use offer::{Offer, Why};
pub use onlooker::{Onlooker, Onlookers};
pub use shared::Shared;

/// The model that an answer came from.
pub use crate::frame::Model;

/// How an engine's thread works.
#[derive(Clone, Default)]
pub struct WorkSettings {
    /// Maps are averaged over time.
    pub steady: bool,
    /// Who sees the answers before that.
    pub onlookers: Onlookers,
    /// What it computes is never shown: whatever else wants the processor goes first.
    pub is_spare: bool,
}

/// Opens an engine, at the start and again after failures.
pub type OpenEngine = Box<dyn FnMut() -> Result<(Box<dyn Engine>, Arc<Model>), EngineError> + Send>;

/// How long `build`, which keeps no video, waits for a step of TensorRT's to end; some take minutes.
pub const BUILD_PATIENCE: Duration = Duration::from_secs(10);

/// The GPU failed in a way that this process cannot recover from; a new process may.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DeviceLost(pub String);

//! What the daemon did: counted on the frame thread, kept by the supervisor, read everywhere else as snapshots. It may use
//! values, and what sinks and the signal say of themselves.

mod cell;
mod counters;
pub mod deployment;
mod distribution;
mod events;
mod follow;
mod live;
pub mod models;
pub mod prometheus;
pub mod shadow;
mod signal;
pub mod snapshot;

pub use cell::StatusCell;
pub use counters::{Counters, FrameFigures, Tally, tally};
pub use distribution::{Durations, Quantiles};
pub use events::Events;
pub use follow::{FollowCell, FollowState, OfferedFigures};
pub use live::{LiveFigures, Moment};
pub use signal::SignalLog;
pub use snapshot::{RunInfo, SinkFigures, Snapshot};

//! The frame path: slot, crop, engine, mask, overlay, sinks, on one thread. It may use sources, inference and sinks.
//!
//! The video never waits for the engine longer than `sync.engine_timeout`, and not at all in
//! `latest` mode or once the engine is known to hang. A mask is shown on its own frame (`exact`) or
//! while it is fresh (`latest`); a frame without one carries a badge that says so.
//!
//! Nothing here opens, closes or builds anything, or takes a lock that somebody else holds for long.

mod badge;
mod change;
mod crop;
mod frame_path;
mod layout;
mod mask;
mod observer;
mod overlay;
mod overlay_state;
mod scaling;
mod sector;
mod settings;
mod signal;
mod thread;
mod timeline;

pub use change::{Change, Event, Retired, SinkChange, SinkId, Sinks};
pub use frame_path::FramePath;
pub use settings::PathSettings;
pub use thread::start;

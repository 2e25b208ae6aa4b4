//! What the supervisor sends to the frame thread, and what comes back.

use std::sync::Arc;

use gst_video::VideoInfo;

use crate::frame::{DoesNotFit, Sector, SignalState};
use crate::infer::Inference;
use crate::sink::Sink;
use crate::source::failure::SourceError;
use crate::source::slot::Slot;

/// Which of the configured sinks: its place in the list.
pub type SinkId = usize;

/// Sinks by their place in the list.
pub type Sinks = Vec<(SinkId, Box<dyn Sink>)>;

/// A change of the frame path, taken between two frames. Everything in it is open already.
pub enum Change {
    /// Ask this engine from now on.
    Model(Inference),
    /// Take frames from here from now on.
    Source(Slot),
    /// Add or remove a sink.
    Sink(SinkChange),
    /// Show the overlay or not.
    Overlay(bool),
    /// Every sink that can be open for the layout of this number is.
    Settled(u64),
}

/// A change of the sinks.
pub enum SinkChange {
    /// One that is open for frames like these.
    Add(SinkId, Box<dyn Sink>, Arc<VideoInfo>),
    /// One that failed, or that nobody wants any more.
    Remove(SinkId),
}

/// What the frame thread reports. It never waits for anybody to hear it.
pub enum Event {
    /// Frames have this format from now on.
    Layout {
        /// Counts the layouts, from 1.
        number: u64,
        /// Size, format and colorimetry.
        info: Arc<VideoInfo>,
        /// Why the crop is not in them, if so.
        problem: Option<DoesNotFit>,
        /// No frame has come yet: recordings begin with the first.
        is_placeholder: bool,
    },
    /// The source sends no more; every frame was taken before.
    SourceEnded(Result<(), SourceError>),
    /// What the signal is doing has changed.
    Signal(SignalState),
    /// The ultrasound picture was found here, or has moved here.
    Sector {
        /// It.
        sector: Sector,
        /// What the model sees of it.
        crop: Sector,
        /// Pixels of the frame for one of the crop.
        scale: f32,
    },
    /// The overlay is wanted or not, from now on.
    Overlay(bool),
    /// A part that left the frame path.
    Retired(Retired),
    /// The thread ends.
    Ended(anyhow::Result<()>),
}

/// Parts that left the frame path. Dropping one may wait, which the frame thread never does.
pub enum Retired {
    /// The engine before the present one.
    Model(Inference),
    /// A source that ended, or another one took the place of.
    Source(Slot),
    /// A sink that was removed, or cannot follow the frames' new layout.
    Sink(SinkId, Box<dyn Sink>),
}

//! Where frames come from, and the slot they are taken from. It may use frames, pipelines, the configuration and what hides
//! secrets.

mod bus;
mod colour;
mod damage;
mod decode;
mod dicom;
pub mod failure;
pub mod gstreamer;
mod igtl;
mod phantom;
pub mod rtsp;
pub mod slot;
mod stamp;
pub mod v4l2;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::config::{Config, Source};
use crate::pipeline::parse;
use crate::source::gstreamer::Capture;
use crate::source::slot::{FrameCounts, Slot};

/// A source that runs. Its slot goes to the frame path; dropping the rest stops it.
pub struct OpenSource {
    /// Where its frames, and its end, come out.
    pub slot: Slot,
    /// None where a thread ends with the slot.
    pub capture: Option<Capture>,
}

/// Builds the source's pipeline without starting it; returns its description. `pads` frames that are smaller than the crop.
///
/// # Errors
/// When it cannot be built, or nothing here decodes the source.
pub fn check(source: &Source, pads: bool) -> Result<String> {
    let Source::Rtsp(rtsp) = source else { return gstreamer::check(source, pads) };
    let text = gstreamer::finish(&rtsp::describe(rtsp)?, pads);
    parse(&text, &format!("source {source}"))?;
    Ok(text)
}

/// Opens the source, which may take up to [`gstreamer::STALL`]. None when the daemon is told to stop meanwhile.
///
/// # Errors
/// When it cannot be built or started; failures of later come as the slot's end.
pub fn open(config: &Config, counts: &Arc<FrameCounts>, stop: &AtomicBool) -> Result<Option<OpenSource>> {
    if let Source::Phantom(settings) = &config.source {
        let slot = phantom::start(settings, config.x, config.y, counts)?;
        return Ok(Some(OpenSource { slot, capture: None }));
    }
    if let Source::Igtl(server) = &config.source {
        return Ok(Some(OpenSource { slot: igtl::start(server, config.pad, counts)?, capture: None }));
    }
    let opened = match &config.source {
        Source::Rtsp(rtsp) => rtsp::open(rtsp, &config.source, config.pad, counts, stop)?,
        source => Capture::start(source, config.pad, counts, stop)?,
    };
    Ok(opened.map(|(capture, slot)| OpenSource { slot, capture: Some(capture) }))
}

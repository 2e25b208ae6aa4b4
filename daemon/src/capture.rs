//! Capture: frames from whatever GStreamer can open: a file or URI, a V4L2 device, a fragment.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use gst_video::VideoInfo;

use crate::config::Source;
use crate::frame::Frame;
use crate::slot::{Slot, SlotSender, SourceError, slot};

/// A running GStreamer source; dropping it stops the pipeline.
pub struct Capture {
    pipeline: gst::Pipeline,
}

/// The pipeline for `source` in `gst-launch-1.0` notation, up to the sink that hands frames over.
pub fn describe(source: &Source) -> String {
    let head = match source {
        Source::Phantom(_) => return "phantom".into(),
        Source::File { uri, .. } => format!("uridecodebin uri={}", quoted(uri)),
        Source::V4l2 { device, caps } => {
            let caps = caps.as_ref().map_or(String::new(), |caps| format!(" ! {}", quoted(caps)));
            format!("v4l2src device={}{caps} ! decodebin", quoted(&device.display().to_string()))
        }
        Source::Pipeline { pipeline, .. } => pipeline.clone(),
    };
    format!("{head} ! videoconvert ! video/x-raw,format=(string){{I420,NV12}} ! appsink name=frames")
}

/// Quotes a value for `gst-launch-1.0` notation.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Capture {
    /// Starts the source. Frames, and the end, come through the slot.
    ///
    /// # Errors
    /// When the pipeline cannot be built or started; failures of later come as the slot's end.
    pub fn start(source: &Source) -> Result<(Self, Slot)> {
        let (name, live) = (source.to_string(), source.is_live());
        let text = describe(source);
        let pipeline = gst::parse::launch(&text)
            .with_context(|| format!("source {name}: the pipeline `{text}` cannot be built"))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow::anyhow!("source {name}: `{text}` is not a pipeline"))?;
        let Some(sink) = pipeline.by_name("frames").and_then(|e| e.downcast::<AppSink>().ok()) else {
            bail!("source {name}: the pipeline has no sink");
        };
        // A live source paces itself, and the clock's wait would only add latency.
        sink.set_sync(source.is_paced_by_clock());
        sink.set_max_buffers(1);
        let (sender, mut slot) = slot(live);
        watch(&pipeline, &name, &sender);
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_sample(sender)).build());
        let capture = Self { pipeline };
        if capture.pipeline.set_state(gst::State::Playing).is_err() {
            // The bus has the reason that `set_state` keeps to itself.
            match slot.failure() {
                Some(reason) => return Err(reason.into()),
                None => bail!("source {name}: `{text}` cannot be started"),
            }
        }
        Ok((capture, slot))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Nothing can be done about a source that does not stop; the process is ending.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn on_sample(sender: SlotSender) -> impl FnMut(&AppSink) -> Result<gst::FlowSuccess, gst::FlowError> {
    let mut known: Option<(gst::Caps, Arc<VideoInfo>)> = None;
    move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let arrived = Instant::now();
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return Err(gst::FlowError::Error);
        };
        // Without the sample's own reference the buffer can be written to in place.
        drop(sample);
        let info = match &known {
            Some((same, info)) if *same == caps => info.clone(),
            _ => {
                let info = VideoInfo::from_caps(&caps).map_err(|_| gst::FlowError::NotNegotiated)?;
                let info = Arc::new(info);
                known = Some((caps, info.clone()));
                info
            }
        };
        match sender.send(Frame { buffer, info, arrived, truth: None }) {
            true => Ok(gst::FlowSuccess::Ok),
            false => Err(gst::FlowError::Eos),
        }
    }
}

/// Turns the bus's messages into the slot's end.
fn watch(pipeline: &gst::Pipeline, name: &str, sender: &SlotSender) {
    let Some(bus) = pipeline.bus() else { return };
    let (name, sender, weak) = (name.to_owned(), sender.clone(), pipeline.downgrade());
    let stated = Mutex::new(None);
    bus.set_sync_handler(move |_, message| {
        use gst::MessageView;
        let mut stated = stated.lock().unwrap_or_else(PoisonError::into_inner);
        match message.view() {
            MessageView::Eos(_) => sender.end(ended(&name, *stated, sender.position())),
            MessageView::Error(e) => sender.end(Err(failure(&name, e))),
            MessageView::Warning(w) => {
                tracing::warn!(source = name, element = ?w.src().map(|s| s.name()), "{}", w.error());
            }
            MessageView::AsyncDone(_) => {
                *stated =
                    weak.upgrade().and_then(|p| p.query_duration::<gst::ClockTime>()).map(Duration::from);
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

/// A container that states its length and ends well before it was cut.
fn ended(name: &str, stated: Option<Duration>, ended: Duration) -> Result<(), SourceError> {
    // Containers round durations, and audio may outlast the video a little.
    const SLACK: Duration = Duration::from_millis(500);
    match stated {
        Some(stated) if ended + SLACK < stated => {
            Err(SourceError::CutShort { name: name.into(), ended, stated })
        }
        _ => Ok(()),
    }
}

fn failure(name: &str, error: &gst::message::Error) -> SourceError {
    let kind = error.error();
    let remedy = if kind.matches(gst::ResourceError::NotFound) {
        "Check the path or device, and that it is plugged in"
    } else if kind.matches(gst::ResourceError::Busy) {
        "Another program holds the device; stop it"
    } else if kind.matches(gst::ResourceError::OpenRead) || kind.matches(gst::ResourceError::NotAuthorized) {
        "Check that it exists and that this user may read it (for a device: group video)"
    } else if kind.matches(gst::StreamError::TypeNotFound) || kind.matches(gst::StreamError::WrongType) {
        "It is no video that GStreamer knows; check the file"
    } else if kind.matches(gst::StreamError::CodecNotFound) || kind.matches(gst::CoreError::MissingPlugin) {
        "Install the GStreamer plugin that decodes it (gstreamer1.0-libav, -plugins-good, -plugins-bad)"
    } else if kind.matches(gst::StreamError::Demux) || kind.matches(gst::StreamError::Decode) {
        "The file is damaged or incomplete; copy or record it again"
    } else {
        "Try the pipeline of `nervelightd check` with gst-launch-1.0 -v to see more"
    };
    let element = error.src().map_or_else(String::new, |s| format!(" ({})", s.name()));
    SourceError::Failed { name: name.into(), message: format!("{kind}{element}"), remedy: remedy.into() }
}

/// The URI of a file, or the URI itself.
///
/// # Errors
/// When it is a path and nothing is there.
pub fn uri(path_or_uri: &str, base: &Path) -> Result<String, String> {
    if path_or_uri.contains("://") {
        return Ok(path_or_uri.into());
    }
    let path = base.join(path_or_uri);
    let path = path.canonicalize().map_err(|e| format!("{}: {e}. Check the path", path.display()))?;
    let uri = gst::glib::filename_to_uri(path, None).map_err(|e| e.to_string())?;
    Ok(uri.into())
}

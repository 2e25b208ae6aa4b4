//! Where annotated frames go. Each sink is a pipeline of its own, so that one that fails or stalls takes neither the
//! video nor the other sinks with it. This room uses configuration and values only.

mod display;
mod encode;
mod even;
mod feed;
mod file;
mod igtl;
mod null;
pub mod preview;
mod rtsp;
mod status;
mod webrtc;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result};
use gst_video::VideoInfo;
use nervelight_engines::Plane;

use crate::config;
use crate::frame::{Model, Sector};
use crate::pipeline::parse;
use crate::sink::display::Display;
pub use crate::sink::encode::Encoders;
use crate::sink::file::Recording;
use crate::sink::igtl::Igtl;
use crate::sink::null::Null;
use crate::sink::preview::{Pictures, Preview, State};
use crate::sink::rtsp::RtspOut;
pub use crate::sink::status::{OutputStatus, RecordedFiles, SinkDrops, SinkStatus};
use crate::sink::webrtc::Webrtc;
pub use crate::sink::webrtc::{Refusal, Whep};

/// One annotated frame on its way to the sinks.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The picture with its PTS.
    pub buffer: &'a gst::Buffer,
    /// Its size, format and colorimetry.
    pub info: &'a Arc<VideoInfo>,
    /// What is true of it.
    pub state: State,
    /// The mask on it, 1 in the nerve and 0 elsewhere, be it empty; none when no mask is shown. It is of `model`, and belongs
    /// to `region`, which may have more or fewer pixels.
    pub mask: Option<&'a Plane>,
    /// A pixel's width and height in mm, where they are known.
    pub spacing: Option<[f32; 2]>,
    /// The model that made the newest mask.
    pub model: Option<&'a Arc<Model>>,
    /// What the model sees of it.
    pub region: Option<Sector>,
}

/// Where annotated frames go. Dropping one stops its pipeline, which may take three seconds.
pub trait Sink: Send {
    /// Hands over a frame, on the frame thread. A live video never waits here: what there is no room for is dropped and
    /// counted. Any other video waits for room. A sink that has failed takes none. Recordings skip NO SIGNAL frames.
    fn push(&mut self, shown: Shown<'_>);

    /// Whether frames like `info` can be pushed from now on; called on the frame thread when they change. A recording
    /// cannot follow: it is ended, and the next file opened.
    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool;

    /// Says that no frame follows, without waiting.
    fn end(&mut self);

    /// Waits until what was pushed is kept, at most until `deadline`; never on the frame thread.
    fn finish(&mut self, deadline: Instant);

    /// The sink's figures.
    fn status(&self) -> Arc<SinkStatus>;
}

/// Why a sink does not open.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It never will, as it is configured.
    #[error(transparent)]
    Misconfigured(anyhow::Error),
    /// It may later: the disk is full, the monitor unplugged, the folder missing.
    #[error(transparent)]
    Unavailable(anyhow::Error),
}

impl SinkError {
    /// The same, said of `what`.
    fn of(self, what: &str) -> Self {
        let context = |error: anyhow::Error| error.context(what.to_owned());
        match self {
            Self::Misconfigured(error) => Self::Misconfigured(context(error)),
            Self::Unavailable(error) => Self::Unavailable(context(error)),
        }
    }
}

/// What sinks need besides their configuration.
#[derive(Clone)]
pub struct SinkContext {
    /// Whether the video is live, and waits for no sink.
    pub live: bool,
    /// Where previews publish their pictures.
    pub pictures: Pictures,
    /// Where WebRTC's viewers come in.
    pub whep: Whep,
    /// The daemon is stopping: nothing is waited for any more.
    pub stop: Arc<AtomicBool>,
    /// The encoders that run.
    pub encoders: Encoders,
    /// The source, without credentials: recordings name it.
    pub source: Arc<str>,
}

/// Opens a sink for frames like `info`. It blocks for as long as devices do, up to 20 s.
///
/// # Errors
/// When it is misconfigured, or cannot be opened now.
pub fn open(
    sink: &config::Sink,
    info: &Arc<VideoInfo>,
    context: &SinkContext,
) -> Result<Box<dyn Sink>, SinkError> {
    let name = sink.to_string();
    let opened: Box<dyn Sink> = match sink {
        config::Sink::Null => Box::new(Null::new(name)),
        config::Sink::Igtl(server) => Box::new(Igtl::open(name, server, context)?),
        config::Sink::Preview => Box::new(Preview::open(name, info, context)?),
        config::Sink::Webrtc(webrtc) => Box::new(Webrtc::open(name, *webrtc, info, context)?),
        config::Sink::Display { element } => Box::new(Display::open(name, element, info, context)?),
        config::Sink::Rtsp(server) => Box::new(RtspOut::open(name, server, info, context)?),
        config::Sink::File(settings) => Box::new(Recording::open(settings, info, context)?),
    };
    tracing::info!(sink = %opened.status().name(), "open");
    Ok(opened)
}

/// Finds a sink that will never open as it is configured: an element or a property in it is not known.
///
/// # Errors
/// What is wrong.
pub fn refuse_misconfigured(sink: &config::Sink) -> Result<()> {
    let has_pipeline = match sink {
        config::Sink::File(file) => file.encoder.is_some(),
        config::Sink::Display { element } => !display::is_chosen(element),
        config::Sink::Preview
        | config::Sink::Webrtc(_)
        | config::Sink::Rtsp(_)
        | config::Sink::Null
        | config::Sink::Igtl(_) => false,
    };
    // What is chosen on this machine may be there later.
    if has_pipeline { check(sink).map(drop) } else { Ok(()) }
}

/// Builds the sink's pipelines without starting them; returns their description.
///
/// # Errors
/// When an element or a property is not known.
pub fn check(sink: &config::Sink) -> Result<String> {
    let what = format!("sink {sink}");
    let texts = match sink {
        config::Sink::Null => return Ok("null".into()),
        config::Sink::Igtl(server) => return igtl::check(server),
        config::Sink::Preview => vec![preview::PIPELINE.into()],
        config::Sink::Webrtc(viewers) => {
            webrtc::try_address(viewers).with_context(|| what.clone())?;
            vec![encode::describe(None, None).with_context(|| what.clone())?]
        }
        config::Sink::File(settings) => {
            let encoder =
                encode::describe(settings.encoder.as_deref(), None).with_context(|| what.clone())?;
            vec![encoder, file::describe(&settings.path)]
        }
        config::Sink::Display { element } => {
            vec![display::describe(display::find(element).with_context(|| what.clone())?)]
        }
        config::Sink::Rtsp(server) => {
            let served = rtsp::check(server).with_context(|| what.clone())?;
            let encoder = encode::describe(None, None).with_context(|| what.clone())?;
            parse(&encoder, &what)?;
            return Ok(format!("{encoder}\n         {served}"));
        }
    };
    for text in &texts {
        parse(text, &what)?;
    }
    Ok(texts.join("\n         "))
}

/// Whether an encoder takes frames of `a` and of `b` in turn. The rate may differ: every frame has its own time.
fn is_like(a: &VideoInfo, b: &VideoInfo) -> bool {
    let what = |info: &VideoInfo| (info.width(), info.height(), info.format(), info.colorimetry());
    what(a) == what(b)
}

#[cfg(test)]
mod tests;

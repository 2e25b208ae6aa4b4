//! Stream: each sink is a pipeline of its own, so that one that fails or stalls takes neither the
//! video nor the other sinks with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks, AppSrc};
use gst_video::VideoInfo;
use serde::Serialize;
use tokio::sync::watch;

use crate::capture::quoted;
use crate::config::Sink;

/// The latest picture of the preview as JPEG; empty before the first.
pub type JpegSender = watch::Sender<Bytes>;

/// Frames that may wait for a sink.
const QUEUE: u64 = 4;
/// How long a sink may take to finish its file.
const FINISH: Duration = Duration::from_secs(30);

/// H.264 encoders in order of preference: the cart's hardware, then x264.
const ENCODERS: [(&str, &str); 5] = [
    ("nvv4l2h264enc", "nvvidconv ! nvv4l2h264enc bitrate=8000000"),
    ("nvh264enc", "nvh264enc bitrate=8000"),
    ("vah264enc", "vah264enc bitrate=8000"),
    ("x264enc", "x264enc speed-preset=veryfast pass=quant quantizer=20 bframes=0 key-int-max=60"),
    ("openh264enc", "openh264enc bitrate=8000000"),
];

/// Where the annotated frames go.
pub struct Output {
    name: String,
    kind: Kind,
    frames: u64,
    dropped: u64,
    failed: Option<String>,
}

enum Kind {
    /// Frames are counted and forgotten.
    Null,
    Pipeline {
        pipeline: gst::Pipeline,
        source: AppSrc,
        events: Receiver<Event>,
        /// A live video drops what a sink cannot take; any other waits for it.
        live: bool,
        preview: Option<JpegSender>,
    },
}

enum Event {
    Finished,
    Failed(String),
}

/// What became of a sink.
#[derive(Debug, Clone, Serialize)]
pub struct OutputStatus {
    /// Kind and target.
    pub name: String,
    /// Frames handed over.
    pub frames: u64,
    /// Frames the sink had no room for.
    pub dropped: u64,
    /// Why it stopped, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// The sink's pipeline in `gst-launch-1.0` notation, after the source of frames.
///
/// # Errors
/// When an element it needs is not installed.
pub fn describe(sink: &Sink) -> Result<String> {
    Ok(match sink {
        Sink::Null => "null".into(),
        Sink::Display { element } => {
            format!("appsrc name=frames ! videoconvert ! {element} sync=false")
        }
        Sink::Preview => {
            // JPEG is full range by definition (JFIF 1.02).
            "appsrc name=frames ! videoconvert ! video/x-raw,format=I420,colorimetry=(string)1:4:0:0 ! \
             jpegenc quality=85 ! appsink name=jpeg sync=false max-buffers=1 drop=true"
                .into()
        }
        Sink::File { path, encoder, .. } => {
            let encoder = match encoder {
                Some(fragment) => fragment.clone(),
                None => find_encoder()?.into(),
            };
            let muxer = match path.extension().and_then(|e| e.to_str()) {
                Some("mkv") => "matroskamux",
                // Every finished second is playable, whatever happens after.
                _ => "mp4mux fragment-duration=1000 fragment-mode=first-moov-then-finalise",
            };
            let location = quoted(&path.display().to_string());
            format!(
                "appsrc name=frames ! videoconvert ! {encoder} ! h264parse ! {muxer} ! \
                 filesink name=file location={location}"
            )
        }
    })
}

fn find_encoder() -> Result<&'static str> {
    let found = ENCODERS.iter().find(|(name, _)| gst::ElementFactory::find(name).is_some());
    match found {
        Some((_, fragment)) => Ok(fragment),
        None => bail!(
            "no H.264 encoder is installed: install one ({}), such as x264enc of gstreamer1.0-plugins-ugly, or \
             set the sink's encoder",
            ENCODERS.map(|(name, _)| name).join(", ")
        ),
    }
}

/// The first of `path`, `path-1`, `path-2`, ... that does not exist: recordings are never overwritten.
pub fn free_path(path: &Path) -> PathBuf {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let numbered = (1..).map(|n| {
        let name = format!("{}-{n}.{}", stem.to_string_lossy(), extension.to_string_lossy());
        path.with_file_name(name)
    });
    std::iter::once(path.to_path_buf()).chain(numbered).find(|p| !p.exists()).unwrap_or_else(|| path.into())
}

impl Output {
    /// Opens the sink for frames like `info`.
    ///
    /// # Errors
    /// When the pipeline cannot be built or started.
    pub fn open(
        sink: &Sink,
        info: &Arc<VideoInfo>,
        live: bool,
        preview: Option<&JpegSender>,
    ) -> Result<Self> {
        let mut sink = sink.clone();
        if let Sink::File { path, overwrite: false, .. } = &mut sink {
            *path = free_path(path);
        }
        let name = sink.to_string();
        let output = |kind| Self { name: name.clone(), kind, frames: 0, dropped: 0, failed: None };
        if matches!(sink, Sink::Null) {
            return Ok(output(Kind::Null));
        }
        let text = describe(&sink)?;
        let pipeline = gst::parse::launch(&text)
            .with_context(|| format!("sink {name}: the pipeline `{text}` cannot be built"))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow::anyhow!("sink {name}: `{text}` is not a pipeline"))?;
        let Some(source) = pipeline.by_name("frames").and_then(|e| e.downcast::<AppSrc>().ok()) else {
            bail!("sink {name}: `{text}` has no source of frames");
        };
        source.set_caps(Some(&info.to_caps().context("caps of the frames")?));
        source.set_format(gst::Format::Time);
        source.set_property("is-live", live);
        source.set_block(!live);
        source.set_max_buffers(QUEUE);
        source.set_max_bytes(0);
        source.set_max_time(gst::ClockTime::ZERO);
        let (send, events) = unbounded();
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                let _ = match message.view() {
                    gst::MessageView::Eos(_) => send.send(Event::Finished),
                    gst::MessageView::Error(e) => send.send(Event::Failed(explain(e))),
                    _ => Ok(()),
                };
                gst::BusSyncReply::Drop
            });
        }
        let preview = preview.filter(|_| matches!(sink, Sink::Preview)).cloned();
        if let (Some(jpegs), Some(jpeg_sink)) = (&preview, pipeline.by_name("jpeg")) {
            publish(&jpeg_sink, jpegs.clone());
        }
        if pipeline.set_state(gst::State::Playing).is_err() {
            let reason = match events.try_recv() {
                Ok(Event::Failed(reason)) => reason,
                _ => format!("`{text}` cannot be started"),
            };
            let _ = pipeline.set_state(gst::State::Null);
            bail!("sink {name}: {reason}");
        }
        tracing::info!(sink = %name, "open");
        Ok(output(Kind::Pipeline { pipeline, source, events, live, preview }))
    }

    /// Hands over a frame. A sink that has failed takes none.
    pub fn push(&mut self, buffer: &gst::Buffer) {
        if self.failed.is_some() {
            return;
        }
        if let Kind::Pipeline { source, events, live, preview, .. } = &self.kind {
            if let Ok(Event::Failed(reason)) = events.try_recv() {
                return self.fail(reason);
            }
            if preview.as_ref().is_some_and(|p| p.receiver_count() == 0) {
                return;
            }
            if *live && source.current_level_buffers() >= QUEUE {
                self.dropped += 1;
                return;
            }
            if source.push_buffer(buffer.clone()).is_err() {
                let reason = match events.recv_timeout(Duration::from_secs(1)) {
                    Ok(Event::Failed(reason)) => reason,
                    _ => "it takes no more frames".into(),
                };
                return self.fail(reason);
            }
        }
        self.frames += 1;
    }

    fn fail(&mut self, reason: String) {
        tracing::error!(sink = %self.name, %reason, "sink failed; the video goes on without it");
        self.failed = Some(reason);
    }

    /// Whether frames still arrive somewhere.
    pub fn is_alive(&self) -> bool {
        self.failed.is_none()
    }

    /// What became of the sink up to now.
    pub fn status(&self) -> OutputStatus {
        OutputStatus {
            name: self.name.clone(),
            frames: self.frames,
            dropped: self.dropped,
            failed: self.failed.clone(),
        }
    }

    /// Ends the stream and waits until the file is whole.
    pub fn finish(&mut self) {
        let Kind::Pipeline { pipeline, source, events, .. } = &self.kind else { return };
        let mut failure = None;
        if self.failed.is_none() {
            // A stream already in error takes no end; the event below says why.
            let _ = source.end_of_stream();
            failure = match events.recv_timeout(FINISH) {
                Ok(Event::Finished) => None,
                Ok(Event::Failed(reason)) => Some(reason),
                Err(_) => Some(format!("not finished within {FINISH:?}; the end may be missing")),
            };
        }
        if pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!(sink = %self.name, "did not stop cleanly");
        }
        if let Some(reason) = failure {
            self.fail(reason);
        }
    }
}

fn explain(error: &gst::message::Error) -> String {
    let kind = error.error();
    let element = error.src().map_or_else(String::new, |s| s.name().to_string());
    if kind.matches(gst::ResourceError::NoSpaceLeft) {
        return format!(
            "the disk is full. What was recorded up to here is kept; free some space or move the sink's path, \
             then start again ({element})"
        );
    }
    if kind.matches(gst::ResourceError::OpenWrite) {
        return format!(
            "{kind}. Check that its folder exists and that this user may write there ({element})"
        );
    }
    format!("{kind} ({element})")
}

fn publish(sink: &gst::Element, jpegs: JpegSender) {
    let Some(sink) = sink.downcast_ref::<AppSink>() else { return };
    let on_sample = move |sink: &AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let Some(map) = sample.buffer().and_then(|b| b.map_readable().ok()) {
            jpegs.send_replace(map.as_slice().to_vec().into());
        }
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_sample).build());
}

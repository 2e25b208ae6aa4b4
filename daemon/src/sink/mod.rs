//! Stream: each sink is a pipeline of its own, so that one that fails or stalls takes neither the
//! video nor the other sinks with it.

mod display;
pub mod preview;

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, unbounded};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use gst_video::VideoInfo;
use serde::Serialize;

use crate::config::Sink;
use crate::pipeline::{self, parse, quoted};
use crate::sink::preview::{Pictures, Preview, State};

/// Frames that may wait for a sink.
const QUEUE: u64 = 4;
/// What a source of unknown rate counts as; every frame has its own time.
const NOMINAL_RATE: gst::Fraction = gst::Fraction::from_integer(25);
/// A sink of a video that is not live has failed when it takes no frame for so long.
const STALL: Duration = Duration::from_secs(20);

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
    /// Frames there was no room for.
    dropped: u64,
    /// Frames that reached the muxer of a recording.
    muxed: Arc<AtomicU64>,
    /// Frames handed over that are not in the recording.
    lost: u64,
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
        preview: Option<Preview>,
        /// The recording.
        file: Option<PathBuf>,
        /// The daemon is stopping: nothing is waited for any more.
        stop: Arc<AtomicBool>,
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
    /// Frames it took; once a recording has ended, those that are in it.
    pub frames: u64,
    /// Frames it did not take or lost.
    pub dropped: u64,
    /// The same by reason.
    pub dropped_by: SinkDrops,
    /// Why it stopped, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Why frames are not in a sink.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SinkDrops {
    /// The sink had no room.
    pub busy: u64,
    /// A recording's encoder or muxer lost them; known once it has ended.
    pub recorder: u64,
}

/// Builds the sink's pipeline without starting it; returns its description.
///
/// # Errors
/// When an element or a property is not known.
pub fn check(sink: &Sink) -> Result<String> {
    let text = describe(sink, "").with_context(|| format!("sink {sink}"))?;
    if !matches!(sink, Sink::Null) {
        parse(&text, &format!("sink {sink}"))?;
    }
    Ok(text)
}

/// H.264 4:2:0 has even sizes; what is odd gets a black row or column.
fn padding(info: &VideoInfo) -> String {
    match (info.width() % 2, info.height() % 2) {
        (0, 0) => String::new(),
        (right, bottom) => format!("videoconvert ! videobox right=-{right} bottom=-{bottom} ! "),
    }
}

/// The sink's pipeline in `gst-launch-1.0` notation, after the source of frames, with `padding`
/// before an encoder.
fn describe(sink: &Sink, padding: &str) -> Result<String> {
    Ok(match sink {
        Sink::Null => "null".into(),
        Sink::Display { element } => {
            let element = match element.as_str() {
                "auto" | "autovideosink" => display::choose()?,
                element => element,
            };
            format!("appsrc name=frames ! videoconvert ! {element} sync=false")
        }
        Sink::Preview => {
            // JPEG is full range by definition (JFIF 1.02). From I420 to I420 videoconvert copies, whatever the ranges are;
            // on the way to RGB it minds them.
            "appsrc name=frames ! videoconvert ! video/x-raw,format=BGRx ! jpegenc quality=85 ! \
             appsink name=jpeg sync=false max-buffers=1 drop=true"
                .into()
        }
        Sink::File { path, encoder, .. } => {
            let encoder = match encoder {
                Some(fragment) => fragment.clone(),
                None => find_encoder()?.into(),
            };
            let muxer = match path.extension().and_then(|e| e.to_str()) {
                Some("mkv") => "matroskamux name=muxer",
                // Every finished second is playable, whatever happens after.
                _ => "mp4mux name=muxer fragment-duration=1000 fragment-mode=first-moov-then-finalise",
            };
            let location = quoted(&path.display().to_string());
            format!(
                "appsrc name=frames ! {padding}videoconvert ! {encoder} ! h264parse ! {muxer} ! \
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
fn free_path(path: &Path) -> PathBuf {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let numbered = (1..).map(|n| {
        let name = format!("{}-{n}.{}", stem.to_string_lossy(), extension.to_string_lossy());
        path.with_file_name(name)
    });
    std::iter::once(path.to_path_buf())
        .chain(numbered)
        .find(|p| p.symlink_metadata().is_err())
        .unwrap_or_else(|| path.into())
}

impl Output {
    /// Opens the sink for frames like `info`.
    ///
    /// # Errors
    /// When the pipeline cannot be built or started.
    pub fn open(
        sink: &Sink,
        info: &VideoInfo,
        live: bool,
        pictures: &Pictures,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self> {
        let mut sink = sink.clone();
        if let Sink::File { path, overwrite: false, .. } = &mut sink {
            *path = free_path(path);
        }
        let name = sink.to_string();
        let muxed = Arc::new(AtomicU64::new(0));
        let counter = muxed.clone();
        let output =
            |kind| Self { name: name.clone(), kind, frames: 0, dropped: 0, muxed, lost: 0, failed: None };
        if matches!(sink, Sink::Null) {
            return Ok(output(Kind::Null));
        }
        if let Sink::File { path, .. } = &sink
            && let Some(why) = unfit(path)
        {
            bail!("sink {name}: {} {why}", path.display());
        }
        let text = describe(&sink, &padding(info)).with_context(|| format!("sink {name}"))?;
        let pipeline = parse(&text, &format!("sink {name}"))?;
        let Some(source) = pipeline.by_name("frames").and_then(|e| e.downcast::<AppSrc>().ok()) else {
            bail!("sink {name}: `{text}` has no source of frames");
        };
        let mut caps = info.to_caps().context("caps of the frames")?;
        if info.fps().numer() == 0 {
            // Encoders and parsers make wrong durations of an unknown rate.
            caps.make_mut().set("framerate", NOMINAL_RATE);
        }
        source.set_caps(Some(&caps));
        source.set_format(gst::Format::Time);
        source.set_property("is-live", live);
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
        let jpeg = pipeline.by_name("jpeg").and_then(|e| e.downcast::<AppSink>().ok());
        let jpeg = jpeg.filter(|_| matches!(sink, Sink::Preview));
        let preview = jpeg.map(|jpeg| Preview::attach(&jpeg, pictures.clone()));
        if let Some(muxer) = pipeline.by_name("muxer") {
            count(&muxer, counter);
        }
        // One that needs long to open is not waited for when the daemon is told to stop.
        if pipeline::set_state(&pipeline, gst::State::Playing, STALL, stop) != Some(true) {
            let reason = match events.try_recv() {
                Ok(Event::Failed(reason)) => reason,
                _ => format!("`{text}` cannot be started"),
            };
            pipeline::stop(&pipeline, Duration::from_secs(3));
            bail!("sink {name}: {reason}");
        }
        tracing::info!(sink = %name, "open");
        let file = match sink {
            Sink::File { path, .. } => Some(path),
            _ => None,
        };
        let stop = stop.clone();
        Ok(output(Kind::Pipeline { pipeline, source, events, live, preview, file, stop }))
    }

    /// Hands over a frame, of which `state` is true. A sink that has failed takes none.
    pub fn push(&mut self, buffer: &gst::Buffer, state: State) {
        if self.failed.is_some() {
            return;
        }
        if let Kind::Pipeline { source, events, live, preview, stop, .. } = &self.kind {
            if let Ok(Event::Failed(reason)) = events.try_recv() {
                return self.fail(reason);
            }
            if preview.as_ref().is_some_and(|p| !p.is_watched()) {
                return;
            }
            let waiting = Instant::now();
            while source.current_level_buffers() >= QUEUE {
                if *live || stop.load(Ordering::Relaxed) {
                    self.dropped += 1;
                    return;
                }
                if let Ok(Event::Failed(reason)) = events.recv_timeout(Duration::from_millis(1)) {
                    return self.fail(reason);
                }
                if waiting.elapsed() > STALL {
                    return self.fail(format!("it has taken no frame for {STALL:?}"));
                }
            }
            if let Some(preview) = preview {
                preview.expect(buffer, state);
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
            frames: self.frames - self.lost,
            dropped: self.dropped + self.lost,
            dropped_by: SinkDrops { busy: self.dropped, recorder: self.lost },
            failed: self.failed.clone(),
        }
    }

    /// Whether frames are kept in a file.
    pub fn is_recording(&self) -> bool {
        matches!(self.kind, Kind::Pipeline { file: Some(_), .. })
    }

    /// Says that no frame follows; [`Self::finish`] waits for what that takes.
    pub fn end(&mut self) {
        if let (Kind::Pipeline { source, .. }, None) = (&self.kind, &self.failed) {
            // A stream already in error takes no end; `finish` hears why.
            let _ = source.end_of_stream();
        }
    }

    /// Waits until the file is whole, until `deadline` at most.
    pub fn finish(&mut self, deadline: Instant) {
        let Kind::Pipeline { pipeline, events, file, .. } = &self.kind else { return };
        let mut failure = None;
        if self.failed.is_none() {
            let removed = || file.as_ref().is_some_and(|path| !path.exists());
            failure = match events.recv_deadline(deadline) {
                Ok(Event::Finished) if removed() => Some("its file was removed while it was written".into()),
                Ok(Event::Finished) => None,
                Ok(Event::Failed(reason)) => Some(reason),
                Err(_) => Some("it did not finish in time; the end may be missing".into()),
            };
        }
        let is_recording = file.is_some();
        pipeline::stop(pipeline, Duration::from_secs(3));
        if is_recording {
            self.lost = self.frames.saturating_sub(self.muxed.load(Ordering::Relaxed));
        }
        if let Some(reason) = failure {
            self.fail(reason);
        } else if self.lost > 0 {
            tracing::warn!(sink = %self.name, frames = self.lost, "its encoder or muxer dropped frames");
        }
    }
}

/// Counts the frames that a muxer can write: those with a time.
fn count(muxer: &gst::Element, counter: Arc<AtomicU64>) {
    for pad in muxer.sink_pads() {
        let counter = counter.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &probe.data
                && buffer.pts().is_some()
            {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Why nothing can be recorded to `path`, if it exists and is no file: a FIFO would wait for its reader for ever.
pub fn unfit(path: &Path) -> Option<&'static str> {
    let kind = path.metadata().ok()?;
    // /dev/null, /dev/full: they answer at once.
    let is_memory = kind.file_type().is_char_device() && kind.rdev() >> 8 == 1;
    (!kind.is_file() && !is_memory)
        .then_some("is no regular file (a FIFO, a device, a folder). Choose another path")
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

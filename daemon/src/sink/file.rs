//! Recordings: H.264 in MP4 or Matroska.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_video::VideoInfo;

use crate::config;
use crate::pipeline::quoted;
use crate::sink::encode::{Encoders, Subscription};
use crate::sink::feed::{Feed, Taken};
use crate::sink::place::Place;
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus, is_like};

/// Time between looks at whether the file is still there.
const LOOK: Duration = Duration::from_secs(1);
const TAKEN_AWAY: &str = "its file was removed or replaced while it was written";

/// Records frames to a file.
pub struct Recording {
    stream: Subscription,
    info: Arc<VideoInfo>,
    status: Arc<SinkStatus>,
    place: Arc<Place>,
    encoders: Encoders,
    /// Frames that reached the muxer.
    muxed: Arc<AtomicU64>,
}

impl Recording {
    /// Begins a file; without `overwrite` under a name that is not taken.
    ///
    /// # Errors
    /// When a pipeline cannot be built, or the file not be written now.
    pub fn open(
        path: &Path,
        encoder: Option<&str>,
        overwrite: bool,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        let named =
            |path: &Path| config::Sink::File { path: path.into(), encoder: None, overwrite }.to_string();
        let place = Place::reserve(path, overwrite, &context.encoders)
            .map_err(|e| SinkError::Unavailable(e.context(format!("sink {}", named(path)))))?;
        let place = Arc::new(place);
        let name = named(place.path());
        let what = format!("sink {name}");
        let status = Arc::new(SinkStatus::new(name));
        let muxed = Arc::new(AtomicU64::new(0));
        let open = || {
            let prepare = |pipeline: &gst::Pipeline| {
                prepare(pipeline, &muxed);
                watch(pipeline, &place, &status);
            };
            let text = describe(place.path());
            let feed = Feed::open("file", &text, None, context, prepare, status.listener())?;
            place.note_file();
            Ok(feed.of_units())
        };
        let stream = context.encoders.subscribe(encoder, info, context, status.clone(), open);
        let stream = stream.map_err(|error| {
            place.give_up(&context.encoders);
            error.of(&what)
        })?;
        Ok(Self { stream, info: info.clone(), status, place, encoders: context.encoders.clone(), muxed })
    }
}

impl Sink for Recording {
    fn push(&mut self, shown: Shown<'_>) {
        if !shown.state.signal {
            return;
        }
        if !self.follow(shown.info) {
            self.status.fail("the frames changed".into());
        }
        if self.status.has_failed() {
            return self.status.count(Taken::Failed);
        }
        self.status.count(self.stream.push(shown.buffer));
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        Arc::ptr_eq(&self.info, info) || is_like(&self.info, info)
    }

    fn end(&mut self) {
        self.stream.end();
    }

    fn finish(&mut self, deadline: Instant) {
        self.stream.finish(deadline);
        let muxed = self.muxed.load(Ordering::Relaxed);
        let lost = self.status.taken().saturating_sub(muxed);
        self.status.lose(lost);
        if !self.place.is_kept() {
            return self.status.fail(TAKEN_AWAY.into());
        }
        // A frame that was muxed may be on the disk, unless nothing is.
        if muxed == 0 || self.place.path().metadata().is_ok_and(|file| file.len() == 0) {
            self.place.give_up(&self.encoders);
        }
        if lost > 0 && !self.status.has_failed() {
            tracing::warn!(sink = %self.status.name(), frames = lost, "its encoder or muxer dropped frames");
        }
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

/// The pipeline that writes encoded frames to `path`.
pub fn describe(path: &Path) -> String {
    let muxer = match path.extension().and_then(|e| e.to_str()) {
        Some("mkv") => "matroskamux name=muxer offset-to-zero=true",
        // Every finished second is playable, whatever happens after.
        _ => "mp4mux name=muxer fragment-duration=1000 fragment-mode=first-moov-then-finalise",
    };
    let location = quoted(&path.display().to_string());
    format!("appsrc name=frames ! h264parse ! {muxer} ! filesink name=file location={location}")
}

fn prepare(pipeline: &gst::Pipeline, muxed: &Arc<AtomicU64>) {
    if let Some(units) = pipeline.by_name("frames") {
        // A file is never live. An encoder's time line may begin anywhere, B-frames need that.
        units.set_property("is-live", false);
        units.set_property("handle-segment-change", true);
    }
    if let Some(muxer) = pipeline.by_name("muxer") {
        count(&muxer, muxed);
    }
}

/// Counts the frames that a muxer can write: those with a time.
fn count(muxer: &gst::Element, counter: &Arc<AtomicU64>) {
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

/// Fails a recording whose file is gone, so that it goes on in another. Looks on the muxer's thread, for a disk may hang.
fn watch(pipeline: &gst::Pipeline, place: &Arc<Place>, status: &Arc<SinkStatus>) {
    let Some(pad) = pipeline.by_name("frames").and_then(|units| units.static_pad("src")) else { return };
    let (place, status) = (place.clone(), status.clone());
    let last = Mutex::new(Instant::now());
    let look = move |_: &gst::Pad, _: &mut gst::PadProbeInfo<'_>| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LOOK {
            *last = Instant::now();
            if !place.is_kept() {
                status.fail(TAKEN_AWAY.into());
            }
        }
        gst::PadProbeReturn::Ok
    };
    pad.add_probe(gst::PadProbeType::BUFFER, look);
}

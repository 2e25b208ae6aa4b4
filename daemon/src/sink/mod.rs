//! Where annotated frames go. Each sink is a pipeline of its own, so that one that fails or stalls takes neither the
//! video nor the other sinks with it. This room uses configuration and values only.

mod display;
mod feed;
mod file;
mod null;
pub mod preview;
mod status;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result};
use gst_video::VideoInfo;

use crate::config;
use crate::pipeline::parse;
use crate::sink::display::Display;
use crate::sink::file::Recording;
pub use crate::sink::file::{try_to_write, unfit};
use crate::sink::null::Null;
use crate::sink::preview::{Pictures, Preview, State};
pub use crate::sink::status::{OutputStatus, SinkStatus};

/// One annotated frame on its way to the sinks.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The picture with its PTS.
    pub buffer: &'a gst::Buffer,
    /// Its size, format and colorimetry.
    #[allow(dead_code, reason = "sinks that follow a change are told by it")]
    pub info: &'a Arc<VideoInfo>,
    /// What is true of it.
    pub state: State,
}

/// Where annotated frames go.
pub trait Sink: Send {
    /// Hands over a frame, on the frame thread. A live video never waits here: what there is no room for is dropped and
    /// counted. Any other video waits for room. A sink that has failed takes none. Recordings skip NO SIGNAL frames.
    fn push(&mut self, shown: Shown<'_>);

    /// Whether frames like `info` can be pushed from now on; called on the frame thread when they change. A recording
    /// cannot follow: it is ended, and the next file opened.
    #[allow(dead_code, reason = "called once a change of the frames no longer ends the run")]
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

/// What sinks need besides their configuration.
#[derive(Clone)]
pub struct SinkContext {
    /// Whether the video is live, and waits for no sink.
    pub live: bool,
    /// Where previews publish their pictures.
    pub pictures: Pictures,
    /// The daemon is stopping: nothing is waited for any more.
    pub stop: Arc<AtomicBool>,
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
        config::Sink::Preview => Box::new(Preview::open(name, info, context)?),
        config::Sink::Display { element } => Box::new(Display::open(name, element, info, context)?),
        config::Sink::File { path, encoder, overwrite } => {
            Box::new(Recording::open(path, encoder.as_deref(), *overwrite, info, context)?)
        }
    };
    tracing::info!(sink = %opened.status().name(), "open");
    Ok(opened)
}

/// Builds the sink's pipeline without starting it; returns its description.
///
/// # Errors
/// When an element or a property is not known.
pub fn check(sink: &config::Sink) -> Result<String> {
    let what = format!("sink {sink}");
    let text = match sink {
        config::Sink::Null => return Ok("null".into()),
        config::Sink::Preview => preview::PIPELINE.into(),
        config::Sink::Display { element } => display::describe(element).with_context(|| what.clone())?,
        config::Sink::File { path, encoder, .. } => {
            file::describe(path, encoder.as_deref(), "").with_context(|| what.clone())?
        }
    };
    parse(&text, &what)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use gst_video::VideoFormat;
    use tokio::sync::watch;

    use super::*;
    use crate::status::Ai;

    /// Sinks of a video that waits for them.
    struct Bench {
        info: Arc<VideoInfo>,
        context: SinkContext,
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            gst::init().unwrap();
            let context = SinkContext { live: false, pictures: watch::channel(None).0, stop: Arc::default() };
            Self { info: info(64, 48), context, folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn file(&self, name: &str) -> config::Sink {
            config::Sink::File { path: self.path(name), encoder: None, overwrite: false }
        }

        fn open(&self, sink: &config::Sink) -> Result<Box<dyn Sink>, SinkError> {
            open(sink, &self.info, &self.context)
        }
    }

    fn info(width: u32, height: u32) -> Arc<VideoInfo> {
        Arc::new(VideoInfo::builder(VideoFormat::I420, width, height).build().unwrap())
    }

    /// Frame `n` of a video of 25 frames/s.
    fn push(sink: &mut dyn Sink, info: &Arc<VideoInfo>, n: u64) {
        let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
        let state = State { ai: Ai::Off, signal: true, arrived: Instant::now() };
        sink.push(Shown { buffer: &buffer, info, state });
    }

    fn finish(sink: &mut dyn Sink) -> OutputStatus {
        sink.end();
        sink.finish(Instant::now() + Duration::from_secs(20));
        sink.status().snapshot()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_will_never_open_is_told_from_what_may_later() {
        let bench = Bench::new();
        let display = |element: &str| bench.open(&config::Sink::Display { element: element.into() });
        assert!(matches!(display("nosuchsink"), Err(SinkError::Misconfigured(_))));
        // Its device is not there.
        assert!(matches!(display("v4l2sink device=/dev/absent"), Err(SinkError::Unavailable(_))));
        let encoder = Some("nosuchencoder".into());
        let file = config::Sink::File { path: bench.path("a.mp4"), encoder, overwrite: false };
        assert!(matches!(bench.open(&file), Err(SinkError::Misconfigured(_))));
        let absent = bench.open(&bench.file("absent/a.mp4"));
        let Err(SinkError::Unavailable(why)) = absent else { panic!("a folder may be made") };
        assert!(format!("{why:#}").contains("a.mp4 cannot be written"), "{why:#}");
        assert!(names(bench.folder.path()).is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_recording_that_fails_without_a_frame_leaves_no_file() {
        let bench = Bench::new();
        for encoder in ["identity error-after=1 ! x264enc", "identity drop-probability=1 ! x264enc"] {
            let path = bench.path("a.mp4");
            let sink = config::Sink::File { path, encoder: Some(encoder.into()), overwrite: false };
            let mut sink = bench.open(&sink).unwrap();
            push(&mut *sink, &bench.info, 0);
            let status = finish(&mut *sink);
            assert_eq!(status.frames, 0, "{encoder}: {status:?}");
            assert_eq!(
                names(bench.folder.path()).is_empty(),
                status.failed.is_some(),
                "{encoder}: {status:?}"
            );
        }
    }

    #[test]
    fn a_recording_begins_its_next_file_when_frames_change_and_others_follow() {
        let bench = Bench::new();
        let larger = info(128, 96);
        let mut first = bench.open(&bench.file("a.mp4")).unwrap();
        let mut screen = bench.open(&config::Sink::Display { element: "fakesink".into() }).unwrap();
        let mut preview = bench.open(&config::Sink::Preview).unwrap();
        let mut pictures = bench.context.pictures.subscribe();
        (0..5).for_each(|n| push(&mut *first, &bench.info, n));
        push(&mut *screen, &bench.info, 0);
        push(&mut *preview, &bench.info, 0);
        assert!(!first.follow(&larger) && screen.follow(&larger) && preview.follow(&larger));
        let mut second = open(&bench.file("a.mp4"), &larger, &bench.context).unwrap();
        (5..8).for_each(|n| push(&mut *second, &larger, n));
        push(&mut *screen, &larger, 5);
        push(&mut *preview, &larger, 5);
        for (sink, frames) in [(first, 5), (second, 3), (screen, 2), (preview, 2)] {
            let mut sink = sink;
            let status = finish(&mut *sink);
            assert_eq!((status.frames, status.failed), (frames, None), "{}", status.name);
        }
        assert_eq!(names(bench.folder.path()), ["a-1.mp4", "a.mp4"]);
        let picture = pictures.borrow_and_update().clone().unwrap();
        // The size stands after the header of the frame (ITU T.81, B.2.2).
        let frame = picture.jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
        assert_eq!(picture.jpeg[frame + 5..][..4], [0, 96, 0, 128]);
    }

    #[test]
    fn nothing_is_waited_for_once_the_daemon_stops() {
        let bench = Bench::new();
        let sink = config::Sink::Display { element: "identity sleep-time=60000000 ! fakesink".into() };
        let mut sink = bench.open(&sink).unwrap();
        bench.context.stop.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        (0..20).for_each(|n| push(&mut *sink, &bench.info, n));
        sink.end();
        sink.finish(Instant::now() + Duration::from_millis(100));
        let status = sink.status().snapshot();
        assert!(status.dropped_by.busy > 10 && status.failed.is_some(), "{status:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

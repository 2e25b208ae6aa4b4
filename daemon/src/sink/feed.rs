//! What brings frames into a pipeline: a short queue, a bus that is listened to, an end that is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, unbounded};
use gst::prelude::*;
use gst_app::AppSrc;
use gst_video::VideoInfo;

use crate::lock::lock;
use crate::pipeline::{self, Started, parse};
use crate::sink::{SinkContext, SinkError};

/// Frames that may wait for a pipeline.
const FRAMES: u64 = 4;
/// Encoded frames that may wait for a muxer: the disk may be busy for two seconds.
pub const UNITS: u64 = 120;
/// A pipeline that has no room for a frame for so long has failed.
pub const STALL: Duration = Duration::from_secs(20);
/// What stopping a pipeline may take; one that hangs is left behind.
const STOP: Duration = Duration::from_secs(3);
/// What a source of unknown rate counts as; every frame has its own time.
const NOMINAL_RATE: gst::Fraction = gst::Fraction::from_integer(25);

/// What became of a frame that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is on its way.
    Yes,
    /// There was no room.
    Busy,
    /// Nothing is taken any more.
    Failed,
}

/// Hears once why a pipeline failed; called on any thread.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// The source of frames of a pipeline that runs. Dropped, it stops the pipeline.
pub struct Feed {
    pipeline: gst::Pipeline,
    source: AppSrc,
    fault: Arc<Fault>,
    /// A message for the end, and for each error.
    ended: Receiver<()>,
    queue: u64,
    live: bool,
    patience: Duration,
    /// Since when there is no room; only who hands frames over looks at it.
    full_since: Mutex<Option<Instant>>,
    /// Nothing is waited for any more.
    stop: Arc<AtomicBool>,
    is_stopped: AtomicBool,
}

/// Why a pipeline failed, and who wants to know.
#[derive(Default)]
struct Fault {
    reason: OnceLock<String>,
    tell: OnceLock<Tell>,
}

impl Fault {
    fn set(&self, reason: String) {
        // The first error is the cause of the others.
        let _ = self.reason.set(reason);
        self.report();
    }

    fn report(&self) {
        if let (Some(reason), Some(tell)) = (self.reason.get(), self.tell.get()) {
            tell(reason);
        }
    }
}

/// The caps of frames like `info`.
///
/// # Errors
/// When GStreamer knows no such caps.
pub fn caps(info: &VideoInfo) -> Result<gst::Caps, SinkError> {
    let mut caps = info.to_caps().context("caps of the frames").map_err(SinkError::Misconfigured)?;
    if info.fps().numer() == 0 {
        // Encoders and parsers make wrong durations of an unknown rate.
        caps.make_mut().set("framerate", NOMINAL_RATE);
    }
    Ok(caps)
}

impl Feed {
    /// Builds the pipeline `text`, whose `appsrc` is called `frames`, lets `prepare` look at it, and starts it.
    /// `tell` hears of a later failure.
    ///
    /// # Errors
    /// When the pipeline cannot be built, or not be started now.
    pub fn open(
        what: &str,
        text: &str,
        caps: Option<&gst::Caps>,
        context: &SinkContext,
        prepare: impl FnOnce(&gst::Pipeline),
        tell: Tell,
    ) -> Result<Self, SinkError> {
        let pipeline = parse(text, what).map_err(SinkError::Misconfigured)?;
        let Some(source) = pipeline.by_name("frames").and_then(|e| e.downcast::<AppSrc>().ok()) else {
            return Err(SinkError::Misconfigured(anyhow!("{what}: `{text}` has no source of frames")));
        };
        source.set_caps(caps);
        source.set_format(gst::Format::Time);
        source.set_property("is-live", context.live);
        source.set_max_buffers(FRAMES);
        source.set_max_bytes(0);
        source.set_max_time(gst::ClockTime::ZERO);
        let fault = Arc::new(Fault::default());
        let (send, ended) = unbounded();
        if let Some(bus) = pipeline.bus() {
            let fault = fault.clone();
            bus.set_sync_handler(move |_, message| {
                if let gst::MessageView::Error(error) = message.view() {
                    fault.set(explain(error));
                }
                if matches!(message.type_(), gst::MessageType::Error | gst::MessageType::Eos) {
                    // Nobody listens to one that is dropped.
                    let _ = send.send(());
                }
                gst::BusSyncReply::Drop
            });
        }
        prepare(&pipeline);
        let feed = Self {
            pipeline,
            source,
            fault,
            ended,
            queue: FRAMES,
            live: context.live,
            patience: STALL,
            full_since: Mutex::default(),
            stop: context.stop.clone(),
            is_stopped: AtomicBool::new(false),
        };
        // One that needs long to open is not waited for when the daemon is told to stop.
        match pipeline::start(&feed.pipeline, STALL, &feed.stop) {
            Started::Playing => {}
            Started::Refused => {
                let reason = feed.fault.reason.get().cloned();
                let reason = reason.unwrap_or_else(|| format!("`{text}` cannot be started"));
                return Err(SinkError::Unavailable(anyhow!("{what}: {reason}")));
            }
            Started::LeftBehind(left) => {
                feed.is_stopped.store(true, Ordering::Relaxed);
                let why = format!("{what}: `{text}` did not open within {STALL:?}");
                return Err(SinkError::Unavailable(anyhow::Error::new(left).context(why)));
            }
        }
        let _ = feed.fault.tell.set(tell);
        feed.fault.report();
        Ok(feed)
    }

    /// The same for encoded frames, which are small: more may wait, and at the end they are waited for.
    pub fn of_units(mut self) -> Self {
        (self.queue, self.stop) = (UNITS, Arc::default());
        self
    }

    /// The same, failed once there is no room for longer than `patience`.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Hands over a frame. A live video never waits; any other waits until there is room.
    pub fn push(&self, frame: &gst::Buffer) -> Taken {
        self.give(|source| source.push_buffer(frame.clone()))
    }

    /// Calls `give`, which hands over a frame, once there is room for it.
    pub fn give(&self, give: impl FnOnce(&AppSrc) -> Result<gst::FlowSuccess, gst::FlowError>) -> Taken {
        let mut full_since = lock(&self.full_since);
        loop {
            if self.has_failed() {
                return Taken::Failed;
            }
            if self.has_room() {
                *full_since = None;
                break;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Taken::Busy;
            }
            if full_since.get_or_insert_with(Instant::now).elapsed() > self.patience {
                self.fault.set(format!("it has taken no frame for {:?}", self.patience));
                return Taken::Failed;
            }
            if self.live {
                return Taken::Busy;
            }
            thread::sleep(Duration::from_millis(1));
        }
        if give(&self.source).is_err() {
            self.fault.set("it takes no more frames".into());
            return Taken::Failed;
        }
        Taken::Yes
    }

    /// Says that the next frames are like `info`.
    pub fn follow(&self, info: &VideoInfo) -> bool {
        match caps(info) {
            Ok(caps) => self.source.set_caps(Some(&caps)),
            Err(_) => return false,
        }
        true
    }

    /// Whether a frame would be taken now.
    pub fn has_room(&self) -> bool {
        self.source.current_level_buffers() < self.queue
    }

    /// Why nothing is taken any more, if so.
    pub fn failure(&self) -> Option<&str> {
        self.fault.reason.get().map(String::as_str)
    }

    /// Whether nothing is taken any more.
    pub fn has_failed(&self) -> bool {
        self.fault.reason.get().is_some()
    }

    /// Takes nothing any more, and is not waited for: what it writes to is gone.
    pub fn give_up(&self, why: String) {
        self.fault.set(why);
    }

    /// Says that no frame follows.
    pub fn end(&self) {
        if !self.has_failed() {
            // A stream already in error takes no end.
            let _ = self.source.end_of_stream();
        }
    }

    /// Waits for the end of everything that was handed over, and stops the pipeline.
    pub fn finish(&self, deadline: Instant) {
        if !self.has_failed() && self.ended.recv_deadline(deadline).is_err() {
            self.fault.set("it did not finish in time; the end may be missing".into());
        }
        self.stop();
    }

    fn stop(&self) {
        if !self.is_stopped.swap(true, Ordering::Relaxed) {
            pipeline::stop(&self.pipeline, STOP);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
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

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::sink::{Encoders, Whep};

    #[test]
    fn a_pipeline_that_hangs_is_given_up_and_one_that_is_slow_is_not() {
        gst::init().unwrap();
        for live in [true, false] {
            let context = SinkContext {
                live,
                pictures: watch::channel(None).0,
                whep: Whep::new(Instant::now()),
                stop: Arc::default(),
                encoders: Encoders::default(),
                source: Arc::default(),
            };
            let open = |text: &str| {
                let tell: Tell = Box::new(|_| {});
                let feed = Feed::open("test", text, None, &context, |_| {}, tell).unwrap();
                feed.with_patience(Duration::from_secs(1))
            };
            let slow = open("appsrc name=frames ! identity sleep-time=100000 ! fakesink");
            let hangs = open("appsrc name=frames ! identity sleep-time=5000000 ! fakesink");
            let mut is_busy = false;
            while !hangs.has_failed() {
                let taken = slow.push(&gst::Buffer::new());
                assert_ne!(taken, Taken::Failed, "live {live}");
                is_busy |= taken == Taken::Busy;
                hangs.push(&gst::Buffer::new());
                thread::sleep(Duration::from_millis(10));
            }
            assert!(
                hangs.failure().is_some_and(|why| why.contains("has taken no frame for 1s")),
                "live {live}"
            );
            assert_eq!(is_busy, live, "a live video does not wait, any other waits for room");
        }
    }
}

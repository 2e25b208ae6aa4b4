//! H.264, encoded once for all who want it. A stream of frames has one encoder; who subscribes gets its access units from
//! an IDR on. Constrained baseline without B-frames, so that any browser and player shows it.

mod choose;
mod hub;
mod unit;
mod watching;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};

use anyhow::anyhow;
use gst::prelude::*;
use gst_app::AppSink;
use gst_video::{DownstreamForceKeyUnitEvent, VideoInfo};

use crate::lock::lock;
pub use crate::sink::encode::hub::Audience;
use crate::sink::encode::hub::{Hub, NONE, Subscriber};
pub use crate::sink::encode::unit::{Unit, Units};
pub use crate::sink::encode::watching::Watching;
use crate::sink::even::{even, make_even};
use crate::sink::feed::{self, Feed, STALL, Taken};
use crate::sink::{SinkContext, SinkError, SinkStatus, is_like};

/// Longest time between IDRs.
const KEY_INTERVAL: u64 = gst::ClockTime::SECOND.nseconds();
/// Shortest time between IDRs that network sinks ask for: a viewer that joins and leaves again and again must not make
/// every frame one.
const KEYS_APART: u64 = 100 * gst::ClockTime::MSECOND.nseconds();

/// What the recordings and network sinks of a run share: encoders, and the names that were given to files.
#[derive(Clone, Default)]
pub struct Encoders {
    running: Arc<Mutex<Vec<Weak<Encoder>>>>,
    begun: Arc<Mutex<HashSet<PathBuf>>>,
}

/// An encoder that runs, with all who want its units. Dropped, it stops.
struct Encoder {
    feed: Feed,
    info: Arc<VideoInfo>,
    hub: Arc<Hub>,
    /// Subscribers that take frames. At 0 the encoder has ended and takes none.
    active: AtomicUsize,
    /// The last frame handed over and whether there was room: each comes once from every subscriber. These three belong
    /// to the frame thread.
    last: AtomicU64,
    was_taken: AtomicBool,
    /// The last frame that was asked to be an IDR.
    last_key: AtomicU64,
}

/// Frames' way to an encoder, and its units' way to a muxer.
pub struct Subscription {
    share: Share,
}

/// A subscriber's share in an encoder. Dropping the last stops the encoder, which may take three seconds.
struct Share {
    encoder: Arc<Encoder>,
    subscriber: Arc<Subscriber>,
    /// When the last frame that was taken is shown.
    last: u64,
    is_ended: bool,
}

/// The pipeline of an encoder for frames like `info`: of `fragment`, or the best there is.
///
/// # Errors
/// When none is installed, or none works.
pub fn describe(fragment: Option<&str>, info: Option<&VideoInfo>) -> Result<String, SinkError> {
    let fragment = match fragment {
        Some(fragment) => fragment.to_owned(),
        None => choose::choose(info.map(VideoInfo::fps))?,
    };
    Ok(format!(
        "appsrc name=frames ! videoconvert ! {fragment} ! h264parse config-interval=-1 ! \
         video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=units sync=false"
    ))
}

impl Encoders {
    /// Remembers that this run records to `path`; whether it is the first time.
    pub fn begin(&self, path: &Path) -> bool {
        lock(&self.begun).insert(path.to_path_buf())
    }

    /// This run has recorded nothing to `path`.
    pub fn forget(&self, path: &Path) {
        lock(&self.begun).remove(path);
    }

    /// Sends the units of frames like `info` to what `open` opens once there is an encoder. Subscribers share
    /// an encoder, except for one with an encoder `fragment` of its own.
    ///
    /// # Errors
    /// When encoder or muxer cannot be built, or not be started now.
    pub fn subscribe(
        &self,
        fragment: Option<&str>,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
        status: Arc<SinkStatus>,
        open: impl FnOnce() -> Result<Arc<dyn Units>, SinkError>,
    ) -> Result<Subscription, SinkError> {
        let encoder = self.join(fragment, info, context)?;
        let units = open().inspect_err(|_| _ = encoder.quit())?;
        Ok(Subscription { share: Share::new(encoder, Subscriber::recording(units, status))? })
    }

    /// Sends the units of frames like `info` to a network sink's `units`, while it has an `audience`. When the frames
    /// change, the encoder does and the viewers stay.
    ///
    /// # Errors
    /// When the encoder cannot be built, or not be started now.
    pub fn watch(
        &self,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
        status: Arc<SinkStatus>,
        audience: Arc<Audience>,
        units: Arc<dyn Units>,
    ) -> Result<Watching, SinkError> {
        Watching::open(info, context, status, audience, units)
    }

    fn join(
        &self,
        fragment: Option<&str>,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
    ) -> Result<Arc<Encoder>, SinkError> {
        // Held while an encoder is opened: who comes meanwhile is to share it.
        let mut running = lock(&self.running);
        running.retain(|encoder| encoder.strong_count() > 0);
        if fragment.is_some() {
            return Encoder::open(fragment, info, context).map(Arc::new);
        }
        if let Some(encoder) = running.iter().filter_map(Weak::upgrade).find(|encoder| encoder.join(info)) {
            return Ok(encoder);
        }
        let encoder = Arc::new(Encoder::open(None, info, context)?);
        running.push(Arc::downgrade(&encoder));
        Ok(encoder)
    }
}

#[cfg(test)]
impl Encoders {
    /// How many encoders are shared.
    pub fn running(&self) -> usize {
        let running = lock(&self.running);
        running.iter().filter(|encoder| encoder.strong_count() > 0).count()
    }
}

impl Encoder {
    fn open(fragment: Option<&str>, info: &Arc<VideoInfo>, context: &SinkContext) -> Result<Self, SinkError> {
        let text = describe(fragment, Some(info))?;
        let even = even(info).map_err(SinkError::Misconfigured)?;
        let caps = feed::caps(even.as_ref().unwrap_or(info))?;
        let hub = Arc::new(Hub::default());
        let (units, failing) = (hub.clone(), hub.clone());
        let prepare = |pipeline: &gst::Pipeline| {
            if let Some(sink) = pipeline.by_name("units").and_then(|e| e.downcast::<AppSink>().ok()) {
                units.attach(&sink);
            }
            if let (Some(even), Some(source)) = (even, pipeline.by_name("frames"))
                && let Some(pad) = source.static_pad("src")
            {
                make_even(&pad, VideoInfo::clone(info), even);
            }
        };
        let tell = Box::new(move |reason: &str| failing.fail(reason));
        let feed = Feed::open("encoder", &text, Some(&caps), context, prepare, tell)?;
        tracing::info!(pipeline = %text, "encoder started");
        let time = || AtomicU64::new(NONE);
        Ok(Self {
            // A muxer that hangs is given up first, and the encoder goes on.
            feed: feed.with_patience(STALL + STALL / 2),
            info: info.clone(),
            hub,
            active: AtomicUsize::new(1),
            last: time(),
            was_taken: AtomicBool::new(false),
            last_key: time(),
        })
    }

    /// Counts one more subscriber, if this encodes frames like `info`.
    fn join(&self, info: &VideoInfo) -> bool {
        let one_more = |active: usize| (active > 0).then_some(active + 1);
        is_like(&self.info, info)
            && !self.feed.has_failed()
            && self.active.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }

    /// Counts one subscriber less. After the last, what is in the encoder comes out, and the end behind it.
    fn quit(&self) -> bool {
        let is_last = self.active.fetch_sub(1, SeqCst) == 1;
        if is_last {
            self.feed.end();
        }
        is_last
    }

    /// Hands over a frame, on the frame thread. The second time it is known already.
    fn take(&self, frame: &gst::Buffer) -> Taken {
        let at = frame.pts().map_or(NONE, gst::ClockTime::nseconds);
        let before = self.last.swap(at, SeqCst);
        if at == before && at != NONE {
            // A failure has been told to every subscriber.
            return match self.was_taken.load(SeqCst) {
                true => Taken::Yes,
                false => Taken::Busy,
            };
        }
        let duration = frame.duration().map_or(0, gst::ClockTime::nseconds);
        let next = at.saturating_add(duration.max(at.saturating_sub(before)));
        let last_key = self.last_key.load(SeqCst);
        let is_due = last_key == NONE || next.saturating_sub(last_key) > KEY_INTERVAL;
        let may_ask = last_key == NONE || at.saturating_sub(last_key) >= KEYS_APART;
        let is_key = is_due || self.hub.takes_key(may_ask);
        let taken = self.feed.give(|source| {
            if is_key {
                source.send_event(DownstreamForceKeyUnitEvent::builder().all_headers(true).build());
            }
            source.push_buffer(frame.clone())
        });
        self.was_taken.store(taken == Taken::Yes, SeqCst);
        match taken {
            Taken::Yes if is_key => self.last_key.store(at, SeqCst),
            Taken::Yes => {}
            _ if is_key => self.hub.request_key(),
            _ => {}
        }
        taken
    }
}

impl Share {
    /// Begins to send units to `subscriber`.
    fn new(encoder: Arc<Encoder>, subscriber: Subscriber) -> Result<Self, SinkError> {
        let subscriber = Arc::new(subscriber);
        encoder.hub.join(&subscriber);
        let share = Self { encoder, subscriber, last: 0, is_ended: false };
        // It may have failed before there was somebody to be told.
        match share.encoder.feed.failure() {
            Some(reason) => Err(SinkError::Unavailable(anyhow!("encoder: {reason}"))),
            None => Ok(share),
        }
    }

    fn push(&mut self, frame: &gst::Buffer) -> Taken {
        let taken = self.encoder.take(frame);
        if taken == Taken::Yes {
            self.last = frame.pts().map_or(0, gst::ClockTime::nseconds);
            self.encoder.hub.begin(&self.subscriber, self.last);
        }
        taken
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        if !self.encoder.quit() {
            self.subscriber.end_behind(self.last);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.end();
        self.encoder.hub.leave(&self.subscriber);
    }
}

impl Subscription {
    /// Hands over a frame, on the frame thread.
    pub fn push(&mut self, frame: &gst::Buffer) -> Taken {
        self.share.push(frame)
    }

    /// Says that no frame follows.
    pub fn end(&mut self) {
        self.share.end();
    }
}

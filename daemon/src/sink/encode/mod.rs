//! H.264, encoded once for all who want it. A stream of frames has one encoder; who subscribes gets its access units from
//! an IDR on. Constrained baseline without B-frames, so that any browser and player shows it.

mod choose;

use std::collections::VecDeque;
use std::iter::once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use anyhow::anyhow;
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use gst_video::{DownstreamForceKeyUnitEvent, VideoInfo};

use crate::sink::even::{even, make_even};
use crate::sink::feed::{self, Feed, Taken};
use crate::sink::{SinkContext, SinkError, SinkStatus, is_like};

/// Longest time between IDRs.
const KEY_INTERVAL: u64 = gst::ClockTime::SECOND.nseconds();
/// Units kept for a subscriber that has not said yet which frame is its first.
const EARLY: usize = 64;
/// No time: nothing yet, or no end.
const NONE: u64 = u64::MAX;

/// The encoders that run, by what they encode.
#[derive(Clone, Default)]
pub struct Encoders(Arc<Mutex<Vec<Weak<Encoder>>>>);

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

/// What frame thread and encoder's thread share.
#[derive(Default)]
struct Hub {
    lanes: Mutex<Vec<Lane>>,
    /// Subscribers without a first frame. Each frame is an IDR until there are none, so that every one can be the first.
    waiting: AtomicUsize,
    /// A subscriber that lost units needs an IDR.
    wants_key: AtomicBool,
}

/// A subscriber, as the encoder's thread sees it.
struct Lane {
    subscriber: Arc<Subscriber>,
    /// Units that came before the first frame was known.
    early: VecDeque<gst::Sample>,
    needs_key: bool,
}

/// Whose units go where.
struct Subscriber {
    muxer: Feed,
    status: Arc<SinkStatus>,
    /// Times of its first frame, of its last, and of the last unit that reached its muxer.
    first: AtomicU64,
    last: AtomicU64,
    delivered: AtomicU64,
}

/// Frames' way to an encoder, and its units' way to a muxer.
pub struct Subscription {
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
    /// Sends the units of frames like `info` to `muxer` from now on. Subscribers share an encoder, except for one with
    /// an encoder `fragment` of its own.
    ///
    /// # Errors
    /// When the encoder cannot be built, or not be started now.
    pub fn subscribe(
        &self,
        fragment: Option<&str>,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
        muxer: Feed,
        status: Arc<SinkStatus>,
    ) -> Result<Subscription, SinkError> {
        // Held while an encoder is opened: who comes meanwhile is to share it.
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|encoder| encoder.strong_count() > 0);
        let encoder = match fragment {
            Some(_) => Arc::new(Encoder::open(fragment, info, context)?),
            None => match running.iter().filter_map(Weak::upgrade).find(|encoder| encoder.join(info)) {
                Some(encoder) => encoder,
                None => {
                    let encoder = Arc::new(Encoder::open(None, info, context)?);
                    running.push(Arc::downgrade(&encoder));
                    encoder
                }
            },
        };
        drop(running);
        let time = || AtomicU64::new(NONE);
        let (first, last, delivered) = (time(), time(), AtomicU64::new(0));
        let subscriber = Arc::new(Subscriber { muxer, status, first, last, delivered });
        let lane = Lane { subscriber: subscriber.clone(), early: VecDeque::new(), needs_key: true };
        encoder.hub.lanes().push(lane);
        encoder.hub.waiting.fetch_add(1, SeqCst);
        let subscription = Subscription { encoder, subscriber, last: 0, is_ended: false };
        // It may have failed before the lane was there to be told.
        match subscription.encoder.feed.failure() {
            Some(reason) => Err(SinkError::Unavailable(anyhow!("{reason}"))),
            None => Ok(subscription),
        }
    }
}

#[cfg(test)]
impl Encoders {
    /// How many encoders are shared.
    pub fn running(&self) -> usize {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let feed = Feed::open("encoder", &text, Some(&caps), context, prepare, tell)?.patient();
        tracing::info!(pipeline = %text, "encoder started");
        let time = || AtomicU64::new(NONE);
        Ok(Self {
            feed,
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
        let is_wanted = self.hub.wants_key.swap(false, SeqCst);
        let is_key = is_due || is_wanted || self.hub.waiting.load(SeqCst) > 0;
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
            _ if is_wanted => self.hub.wants_key.store(true, SeqCst),
            _ => {}
        }
        taken
    }
}

impl Hub {
    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends every unit of `sink` to all who want it.
    fn attach(self: &Arc<Self>, sink: &AppSink) {
        let (units, end) = (self.clone(), self.clone());
        let on_unit = move |sink: &AppSink| {
            let unit = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            units.lanes().iter_mut().for_each(|lane| lane.deliver(unit.clone(), &units));
            Ok(gst::FlowSuccess::Ok)
        };
        let on_end = move |_: &AppSink| end.lanes().iter_mut().for_each(|lane| lane.end(&end));
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_unit).eos(on_end).build());
    }

    /// The encoder failed; what came out of it is kept.
    fn fail(&self, reason: &str) {
        for lane in &mut *self.lanes() {
            lane.subscriber.status.fail(reason.into());
            lane.end(self);
        }
    }
}

impl Lane {
    fn deliver(&mut self, unit: gst::Sample, hub: &Hub) {
        if self.subscriber.first.load(SeqCst) == NONE {
            self.early.push_back(unit);
            if self.early.len() > EARLY {
                self.early.pop_front();
            }
            return;
        }
        let early: Vec<_> = self.early.drain(..).collect();
        for unit in early.into_iter().chain(once(unit)) {
            self.pass(unit, hub);
        }
    }

    fn pass(&mut self, unit: gst::Sample, hub: &Hub) {
        let Some((at, is_key)) = read(&unit) else { return };
        let Subscriber { muxer, first, last, delivered, .. } = &*self.subscriber;
        if at > last.load(SeqCst) {
            return muxer.end();
        }
        if at < first.load(SeqCst) {
            return;
        }
        if self.needs_key && !is_key {
            if muxer.has_room() {
                hub.wants_key.store(true, SeqCst);
            }
            return;
        }
        // A live video's unit that finds no room takes those that refer to it along.
        self.needs_key = muxer.give(|source| source.push_sample(&unit)) != Taken::Yes;
        delivered.store(at, SeqCst);
        if at == last.load(SeqCst) {
            muxer.end();
        }
    }

    /// No unit follows.
    fn end(&mut self, hub: &Hub) {
        if self.subscriber.first.load(SeqCst) != NONE {
            let early: Vec<_> = self.early.drain(..).collect();
            early.into_iter().for_each(|unit| self.pass(unit, hub));
        }
        self.subscriber.muxer.end();
    }
}

/// When a unit is shown, on the frames' time line, and whether it needs no other.
fn read(unit: &gst::Sample) -> Option<(u64, bool)> {
    let buffer = unit.buffer()?;
    let segment = unit.segment()?.downcast_ref::<gst::ClockTime>()?;
    let at = segment.to_running_time(buffer.pts()?)?;
    Some((at.nseconds(), !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)))
}

impl Subscription {
    /// Hands over a frame, on the frame thread.
    pub fn push(&mut self, frame: &gst::Buffer) -> Taken {
        let taken = self.encoder.take(frame);
        if taken == Taken::Yes {
            self.last = frame.pts().map_or(0, gst::ClockTime::nseconds);
            if self.subscriber.first.load(SeqCst) == NONE {
                self.subscriber.first.store(self.last, SeqCst);
                self.encoder.hub.waiting.fetch_sub(1, SeqCst);
            }
        }
        taken
    }

    /// Says that no frame follows.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        if self.encoder.active.fetch_sub(1, SeqCst) == 1 {
            // What is in the encoder comes out, and the end behind it.
            return self.encoder.feed.end();
        }
        let Subscriber { muxer, last, delivered, .. } = &*self.subscriber;
        last.store(self.last, SeqCst);
        if delivered.load(SeqCst) >= self.last {
            muxer.end();
        }
    }

    /// Waits until the muxer has written everything.
    pub fn finish(&mut self, deadline: Instant) {
        self.end();
        self.subscriber.muxer.finish(deadline);
        self.leave();
    }

    fn leave(&self) {
        let mut lanes = self.encoder.hub.lanes();
        let before = lanes.len();
        lanes.retain(|lane| !Arc::ptr_eq(&lane.subscriber, &self.subscriber));
        if lanes.len() < before && self.subscriber.first.load(SeqCst) == NONE {
            self.encoder.hub.waiting.fetch_sub(1, SeqCst);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.end();
        self.leave();
    }
}

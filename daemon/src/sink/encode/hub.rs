//! What stands between an encoder and its subscribers: each gets the units of its own frames, from an IDR on.

use std::collections::VecDeque;
use std::iter::once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst_app::{AppSink, AppSinkCallbacks};

use crate::sink::SinkStatus;
use crate::sink::feed::{Feed, Taken};

/// Units kept for a subscriber that has not said yet which frame is its first.
const EARLY: usize = 64;
/// No time: nothing yet, or no end.
pub const NONE: u64 = u64::MAX;

/// What frame thread and encoder's thread share.
#[derive(Default)]
pub struct Hub {
    lanes: Mutex<Vec<Lane>>,
    /// Subscribers without a first frame. Each frame is an IDR until there are none, so that every one can be the first.
    waiting: AtomicUsize,
    /// A subscriber that lost units needs an IDR.
    needs_key: AtomicBool,
}

/// A subscriber, as the encoder's thread sees it.
struct Lane {
    subscriber: Arc<Subscriber>,
    /// Units that came before the first frame was known.
    early: VecDeque<gst::Sample>,
    needs_key: bool,
}

/// Where units go.
pub struct Subscriber {
    /// Takes the units.
    pub muxer: Feed,
    status: Arc<SinkStatus>,
    /// Times of its first frame and of its last.
    first: AtomicU64,
    last: AtomicU64,
    /// Units of times before this were given, or missed.
    delivered: AtomicU64,
}

impl Hub {
    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends every unit of `sink` to all who want it.
    pub fn attach(self: &Arc<Self>, sink: &AppSink) {
        let (units, end) = (self.clone(), self.clone());
        let on_unit = move |sink: &AppSink| {
            let unit = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            units.lanes().iter_mut().for_each(|lane| lane.deliver(unit.clone(), &units));
            Ok(gst::FlowSuccess::Ok)
        };
        let on_end = move |_: &AppSink| end.lanes().iter_mut().for_each(|lane| lane.end(&end));
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_unit).eos(on_end).build());
    }

    /// Begins to send units to `subscriber`.
    pub fn join(&self, subscriber: &Arc<Subscriber>) {
        let (subscriber, early) = (subscriber.clone(), VecDeque::new());
        self.lanes().push(Lane { subscriber, early, needs_key: true });
        self.waiting.fetch_add(1, SeqCst);
    }

    /// `subscriber` has handed over its first frame, of the time `at`.
    pub fn begin(&self, subscriber: &Subscriber, at: u64) {
        if subscriber.first.compare_exchange(NONE, at, SeqCst, SeqCst).is_ok() {
            self.waiting.fetch_sub(1, SeqCst);
        }
    }

    /// Sends nothing to `subscriber` any more.
    pub fn leave(&self, subscriber: &Arc<Subscriber>) {
        let mut lanes = self.lanes();
        let before = lanes.len();
        lanes.retain(|lane| !Arc::ptr_eq(&lane.subscriber, subscriber));
        if lanes.len() < before && subscriber.first.load(SeqCst) == NONE {
            self.waiting.fetch_sub(1, SeqCst);
        }
    }

    /// Whether the next frame has to be an IDR for somebody. A unit that was lost needs one; asking forgets that.
    pub fn takes_key(&self) -> bool {
        self.needs_key.swap(false, SeqCst) || self.waiting.load(SeqCst) > 0
    }

    /// The IDR that was asked for was not encoded.
    pub fn missed_key(&self) {
        self.needs_key.store(true, SeqCst);
    }

    /// The encoder failed; what came out of it is kept.
    pub fn fail(&self, reason: &str) {
        for lane in &mut *self.lanes() {
            lane.subscriber.status.fail(reason.into());
            lane.end(self);
        }
    }
}

impl Subscriber {
    /// One that has no frame yet.
    pub fn new(muxer: Feed, status: Arc<SinkStatus>) -> Self {
        let (first, last, delivered) = (AtomicU64::new(NONE), AtomicU64::new(NONE), AtomicU64::new(0));
        Self { muxer, status, first, last, delivered }
    }

    /// Ends the muxer behind the unit of the time `at`, while the encoder goes on for others.
    pub fn end_behind(&self, at: u64) {
        self.last.store(at, SeqCst);
        // Else the encoder's thread will find it.
        if self.delivered.load(SeqCst) > at {
            self.muxer.end();
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
        if is_key || !self.needs_key {
            // A live video's unit that finds no room takes those that refer to it along.
            self.needs_key = muxer.give(|source| source.push_sample(&unit)) != Taken::Yes;
        } else if muxer.has_room() {
            hub.missed_key();
        }
        delivered.store(at.saturating_add(1), SeqCst);
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

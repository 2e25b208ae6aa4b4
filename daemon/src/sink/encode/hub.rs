//! What stands between an encoder and its subscribers. A recording gets the units of its own frames, a network sink those
//! of the time in which somebody watches; both from an IDR on.

use std::collections::VecDeque;
use std::iter::once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use gst_app::{AppSink, AppSinkCallbacks};

use crate::lock::lock;
use crate::sink::SinkStatus;
use crate::sink::encode::unit::{Unit, Units};
use crate::sink::feed::Taken;

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
    early: VecDeque<Unit>,
    needs_key: bool,
}

/// Where units go.
pub struct Subscriber {
    units: Arc<dyn Units>,
    status: Arc<SinkStatus>,
    /// Who watches; a recording has no audience, and wants all units.
    audience: Option<Arc<Audience>>,
    /// Times of its first frame and of its last.
    first: AtomicU64,
    last: AtomicU64,
    /// Units of times before this were given, or missed.
    delivered: AtomicU64,
}

/// Who watches a network sink. Its server counts viewers here, on any thread.
#[derive(Default)]
pub struct Audience {
    viewers: AtomicUsize,
    hub: Mutex<Weak<Hub>>,
}

impl Hub {
    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        lock(&self.lanes)
    }

    /// Sends every unit of `sink` to all who want it.
    pub fn attach(self: &Arc<Self>, sink: &AppSink) {
        let (units, end) = (self.clone(), self.clone());
        let on_unit = move |sink: &AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if let Some(unit) = Unit::read(sample) {
                units.lanes().iter_mut().for_each(|lane| lane.deliver(&unit, &units));
            }
            Ok(gst::FlowSuccess::Ok)
        };
        let on_end = move |_: &AppSink| end.lanes().iter_mut().for_each(|lane| lane.end(&end));
        sink.set_callbacks(AppSinkCallbacks::builder().new_sample(on_unit).eos(on_end).build());
    }

    /// Begins to send units to `subscriber`.
    pub fn join(&self, subscriber: &Arc<Subscriber>) {
        let (subscriber, early) = (subscriber.clone(), VecDeque::new());
        let is_waiting = subscriber.is_waiting();
        self.lanes().push(Lane { subscriber, early, needs_key: true });
        if is_waiting {
            self.waiting.fetch_add(1, SeqCst);
        }
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
        if lanes.len() < before && subscriber.is_waiting() {
            self.waiting.fetch_sub(1, SeqCst);
        }
    }

    /// Whether the next frame has to be an IDR for somebody: a recording without a frame, or, where it `may` be for
    /// them, who joined or lost a unit. Being told that forgets the wish.
    pub fn takes_key(&self, may: bool) -> bool {
        (may && self.needs_key.swap(false, SeqCst)) || self.waiting.load(SeqCst) > 0
    }

    /// The next frame has to be an IDR, however many ask for it.
    pub fn request_key(&self) {
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

impl Audience {
    /// How many watch.
    pub fn viewers(&self) -> usize {
        self.viewers.load(SeqCst)
    }

    /// So many watch from now on. Who has come asks for an IDR after this.
    pub fn set_viewers(&self, viewers: usize) {
        self.viewers.store(viewers, SeqCst);
    }

    /// Makes the next frame an IDR. Who asks meanwhile shares it.
    pub fn request_key(&self) {
        if let Some(hub) = lock(&self.hub).upgrade() {
            hub.request_key();
        }
    }

    /// Its encoder is this one from now on.
    pub fn look_at(&self, hub: &Arc<Hub>) {
        *lock(&self.hub) = Arc::downgrade(hub);
        // What was asked of the encoder before this one.
        hub.request_key();
    }
}

impl Subscriber {
    /// A recording, which has no frame yet.
    pub fn recording(units: Arc<dyn Units>, status: Arc<SinkStatus>) -> Self {
        Self::new(units, status, None, NONE)
    }

    /// A network sink, which takes any frame as its first.
    pub fn network(units: Arc<dyn Units>, status: Arc<SinkStatus>, audience: Arc<Audience>) -> Self {
        Self::new(units, status, Some(audience), 0)
    }

    fn new(
        units: Arc<dyn Units>,
        status: Arc<SinkStatus>,
        audience: Option<Arc<Audience>>,
        first: u64,
    ) -> Self {
        let (first, last, delivered) = (AtomicU64::new(first), AtomicU64::new(NONE), AtomicU64::new(0));
        Self { units, status, audience, first, last, delivered }
    }

    /// Whether its first frame is not known yet.
    fn is_waiting(&self) -> bool {
        self.first.load(SeqCst) == NONE
    }

    /// Ends the muxer behind the unit of the time `at`, while the encoder goes on for others.
    pub fn end_behind(&self, at: u64) {
        self.last.store(at, SeqCst);
        // Else the encoder's thread will find it.
        if self.delivered.load(SeqCst) > at {
            self.units.end();
        }
    }
}

impl Lane {
    fn deliver(&mut self, unit: &Unit, hub: &Hub) {
        if self.subscriber.audience.as_ref().is_some_and(|audience| audience.viewers() == 0) {
            // What nobody saw cannot be referred to later.
            self.needs_key = true;
            return;
        }
        if self.subscriber.is_waiting() {
            self.early.push_back(unit.clone());
            if self.early.len() > EARLY {
                self.early.pop_front();
            }
            return;
        }
        let early: Vec<_> = self.early.drain(..).collect();
        for unit in early.iter().chain(once(unit)) {
            self.pass(unit, hub);
        }
    }

    fn pass(&mut self, unit: &Unit, hub: &Hub) {
        let Subscriber { units, first, last, delivered, .. } = &*self.subscriber;
        let at = unit.at;
        if at > last.load(SeqCst) {
            return units.end();
        }
        if at < first.load(SeqCst) {
            return;
        }
        if unit.is_key || !self.needs_key {
            // A live video's unit that finds no room takes those that refer to it along.
            self.needs_key = units.give(unit) != Taken::Yes;
        } else if units.has_room() {
            hub.request_key();
        }
        delivered.store(at.saturating_add(1), SeqCst);
        if at == last.load(SeqCst) {
            units.end();
        }
    }

    /// No unit follows.
    fn end(&mut self, hub: &Hub) {
        if !self.subscriber.is_waiting() {
            let early: Vec<_> = self.early.drain(..).collect();
            early.iter().for_each(|unit| self.pass(unit, hub));
        }
        self.subscriber.units.end();
    }
}

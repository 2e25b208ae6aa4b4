//! What the encoder's thread and the server's share: who watches, and what each still has to be sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::lock::lock;
use crate::sink::encode::{Audience, Unit, Units};
use crate::sink::feed::Taken;
use crate::sink::rtsp::packets::{Packer, Packets, Parameters, parameters};
use crate::sink::status::ViewerCounts;

/// Units that may wait for a viewer: about half a second. One that is further behind goes on with the next IDR.
const WAITING: usize = 16;

/// The stream, as all viewers share it.
pub struct Stage {
    /// What the encoder asks whether anybody watches.
    pub audience: Arc<Audience>,
    /// Figures of all viewers.
    pub counts: Arc<ViewerCounts>,
    packer: Mutex<Packer>,
    /// Says whose packets these are.
    pub ssrc: u32,
    viewers: Mutex<Vec<Arc<Viewer>>>,
    /// Viewers, and who asks for a description that has to be made first.
    wanting: AtomicUsize,
    parameters: watch::Sender<Option<Parameters>>,
    is_ended: AtomicBool,
}

/// One who watches.
#[derive(Default)]
pub struct Viewer {
    queue: Mutex<Queue>,
    changed: Notify,
    /// Where its RTCP comes from, and when it did last.
    pub reports_from: Option<SocketAddr>,
    heard: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Queue {
    units: VecDeque<Arc<Packets>>,
    /// It had an IDR, and all units since.
    has_begun: bool,
    /// It waits for an IDR because it lost units, not because it has just come.
    is_behind: bool,
    is_ended: bool,
}

/// Counts as somebody who wants the stream while it lives.
pub struct Want<'a>(&'a Stage);

impl Stage {
    /// One without viewers.
    pub fn new(counts: Arc<ViewerCounts>) -> Self {
        let packer = Packer::new();
        Self {
            audience: Arc::default(),
            counts,
            ssrc: packer.ssrc,
            packer: Mutex::new(packer),
            viewers: Mutex::default(),
            wanting: AtomicUsize::new(0),
            parameters: watch::channel(None).0,
            is_ended: AtomicBool::new(false),
        }
    }

    /// Has the stream encoded while the answer lives, from an IDR on.
    pub fn want(&self) -> Want<'_> {
        self.audience.set_viewers(self.wanting.fetch_add(1, SeqCst) + 1);
        self.audience.request_key();
        Want(self)
    }

    /// Begins to send units to `viewer`, from the next IDR on, which is asked for.
    pub fn enter(&self, viewer: &Arc<Viewer>) {
        lock(&self.viewers).push(viewer.clone());
        self.counts.join();
        if self.is_ended.load(SeqCst) {
            viewer.end();
        }
    }

    /// Sends nothing to `viewer` any more.
    pub fn leave(&self, viewer: &Arc<Viewer>) {
        let mut viewers = lock(&self.viewers);
        let before = viewers.len();
        viewers.retain(|other| !Arc::ptr_eq(other, viewer));
        if viewers.len() < before {
            let left = lock(&viewer.queue).units.drain(..).count();
            self.counts.leave(left as u64);
        }
    }

    /// RTCP came from there.
    pub fn heard(&self, from: SocketAddr) {
        if let Some(viewer) = lock(&self.viewers).iter().find(|viewer| viewer.reports_from == Some(from)) {
            *lock(&viewer.heard) = Some(Instant::now());
        }
    }

    /// SPS and PPS; none before the first IDR.
    pub fn parameters(&self) -> watch::Receiver<Option<Parameters>> {
        self.parameters.subscribe()
    }

    /// The frames change: what was known of them is not true any more.
    pub fn forget_parameters(&self) {
        self.parameters.send_replace(None);
    }

    /// Whether no unit follows.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(SeqCst)
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        let Stage { audience, wanting, .. } = self.0;
        audience.set_viewers(wanting.fetch_sub(1, SeqCst) - 1);
    }
}

impl Units for Stage {
    fn give(&self, unit: &Unit) -> Taken {
        let Ok(bytes) = unit.buffer.map_readable() else { return Taken::Busy };
        let packets = Arc::new(lock(&self.packer).pack(&bytes, unit.at, unit.is_key));
        if unit.is_key {
            let found = parameters(&bytes);
            self.parameters.send_if_modified(|known| {
                let is_new = found.is_some() && *known != found;
                if is_new {
                    *known = found;
                }
                is_new
            });
        }
        for viewer in &*lock(&self.viewers) {
            self.counts.drop_frames(viewer.give(&packets));
        }
        // One viewer's trouble is no other's: each that falls behind waits for an IDR on its own.
        Taken::Yes
    }

    fn has_room(&self) -> bool {
        true
    }

    fn end(&self) {
        self.is_ended.store(true, SeqCst);
        lock(&self.viewers).iter().for_each(|viewer| viewer.end());
    }
}

impl Viewer {
    /// One whose RTCP comes from `reports_from`, if it sends any by UDP.
    pub fn new(reports_from: Option<SocketAddr>) -> Self {
        Self { reports_from, ..Self::default() }
    }

    /// Queues a unit; returns how many were lost by that.
    fn give(&self, packets: &Arc<Packets>) -> u64 {
        let mut queue = lock(&self.queue);
        if !queue.has_begun && !packets.is_key {
            return u64::from(queue.is_behind);
        }
        let mut lost = 0;
        if queue.units.len() >= WAITING {
            // What it is sent next is to be new.
            lost = queue.units.drain(..).count() as u64;
            queue.has_begun = packets.is_key;
            queue.is_behind = true;
        }
        if queue.has_begun || packets.is_key {
            queue.has_begun = true;
            queue.is_behind = false;
            queue.units.push_back(packets.clone());
            self.changed.notify_one();
        } else {
            lost += 1;
        }
        lost
    }

    /// The next unit; none after the last.
    pub async fn next(&self) -> Option<Arc<Packets>> {
        loop {
            {
                let mut queue = lock(&self.queue);
                if let Some(unit) = queue.units.pop_front() {
                    return Some(unit);
                }
                if queue.is_ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// When its RTCP came last.
    pub fn heard_last(&self) -> Option<Instant> {
        *lock(&self.heard)
    }

    fn end(&self) {
        lock(&self.queue).is_ended = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(n: u8, is_key: bool) -> Arc<Packets> {
        Arc::new(Packer::new().pack(&[0, 0, 1, if is_key { 0x65 } else { 0x41 }, n + 1], 0, is_key))
    }

    fn waiting(viewer: &Viewer) -> Vec<bool> {
        lock(&viewer.queue).units.iter().map(|unit| unit.is_key).collect()
    }

    #[test]
    fn a_viewer_begins_with_an_idr_and_one_that_falls_behind_goes_on_with_one() {
        let viewer = Viewer::new(None);
        assert_eq!((0..5).map(|n| viewer.give(&unit(n, false))).sum::<u64>(), 0, "it has just come");
        assert_eq!(waiting(&viewer), [] as [bool; 0]);
        let mut lost = viewer.give(&unit(0, true));
        for n in 1..WAITING as u8 {
            lost += viewer.give(&unit(n, false));
        }
        assert_eq!((lost, waiting(&viewer).len()), (0, WAITING));
        // It takes nothing: all of it is old now, and what follows refers to it.
        lost += (0..10).map(|n| viewer.give(&unit(n, false))).sum::<u64>();
        assert_eq!((lost, waiting(&viewer).len()), (WAITING as u64 + 10, 0));
        lost += viewer.give(&unit(0, true)) + viewer.give(&unit(1, false));
        assert_eq!((lost, waiting(&viewer)), (WAITING as u64 + 10, vec![true, false]));
    }

    #[test]
    fn who_wants_the_stream_is_counted_and_the_end_reaches_all() {
        let stage = Stage::new(Arc::default());
        let (a, b) = (stage.want(), stage.want());
        assert_eq!(stage.audience.viewers(), 2);
        drop(a);
        drop(b);
        assert_eq!(stage.audience.viewers(), 0);
        let (early, late) = (Arc::new(Viewer::new(None)), Arc::new(Viewer::new(None)));
        stage.enter(&early);
        stage.end();
        stage.enter(&late);
        assert!(lock(&early.queue).is_ended && lock(&late.queue).is_ended);
        assert_eq!(stage.counts.snapshot().watching, 2);
        stage.leave(&early);
        stage.leave(&early);
        assert_eq!(stage.counts.snapshot().watching, 1);
    }
}

//! From the network's thread into a pipeline: access units for its `appsrc`, and the end.

use std::sync::{Arc, Mutex, MutexGuard};

use gst_app::{AppSrc, AppSrcCallbacks};

use super::queue::{Queue, Unit};
use crate::lock::lock;
use crate::source::failure::SourceError;
use crate::source::slot::SlotSender;

/// An access unit as it goes into a pipeline.
pub struct AccessUnit {
    /// Byte stream, parameter sets before each key frame.
    pub buffer: gst::Buffer,
    /// Packets before it, or of it, are lost.
    pub is_after_loss: bool,
}

impl Unit for AccessUnit {
    fn is_key(&self) -> bool {
        !self.buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
    }

    fn is_after_loss(&self) -> bool {
        self.is_after_loss
    }
}

/// What network and pipeline share.
pub struct Feed(Mutex<State>);

struct State {
    queue: Queue<AccessUnit>,
    /// Weak, for it calls back.
    appsrc: gst::glib::WeakRef<AppSrc>,
    sender: Option<SlotSender>,
    /// Why the network ended before there was a pipeline.
    ended: Option<SourceError>,
}

impl Feed {
    /// Without a pipeline yet.
    pub fn new() -> Arc<Self> {
        let (queue, appsrc) = (Queue::new(), gst::glib::WeakRef::new());
        Arc::new(Self(Mutex::new(State { queue, appsrc, sender: None, ended: None })))
    }

    /// Leads into `appsrc`, and the end into `sender`.
    pub fn attach(self: &Arc<Self>, appsrc: &AppSrc, sender: SlotSender) {
        let feed = self.clone();
        let need = move |appsrc: &AppSrc, _| {
            let unit = feed.state().queue.take();
            push(Some(appsrc), unit);
        };
        appsrc.set_callbacks(AppSrcCallbacks::builder().need_data(need).build());
        let mut state = self.state();
        if let Some(error) = state.ended.take() {
            sender.end(Err(error));
        }
        state.appsrc.set(Some(appsrc));
        state.sender = Some(sender);
    }

    /// An access unit came. It waits for nobody.
    pub fn offer(&self, unit: AccessUnit) {
        let mut state = self.state();
        let offered = state.queue.offer(unit);
        if let Some(sender) = &state.sender {
            sender.pass_over(offered.skipped);
        }
        let appsrc = state.appsrc.upgrade();
        // Pushing may call back.
        drop(state);
        push(appsrc.as_ref(), offered.ready);
    }

    /// Nothing comes any more.
    pub fn end(&self, error: SourceError) {
        let mut state = self.state();
        match &state.sender {
            Some(sender) => sender.end(Err(error)),
            None => state.ended = Some(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn push(appsrc: Option<&AppSrc>, unit: Option<AccessUnit>) {
    if let (Some(appsrc), Some(unit)) = (appsrc, unit) {
        // One that is being stopped takes nothing; one that failed says so on its bus.
        let _ = appsrc.push_buffer(unit.buffer);
    }
}

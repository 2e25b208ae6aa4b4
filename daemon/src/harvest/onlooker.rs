//! Sees the engine's answers, on the engine's thread: a copy, and it goes on.

use std::sync::Arc;
use std::time::Instant;

use nervelight_engines::Plane;

use crate::harvest::status::Status;
use crate::harvest::stock::{Buffers, Of};
use crate::infer::{Job, Model, Offer, Onlooker, Why};

/// Takes what may be worth keeping.
pub struct Watcher {
    buffers: Buffers,
    status: Arc<Status>,
}

impl Watcher {
    /// Copies into `buffers`.
    pub fn new(buffers: Buffers, status: Arc<Status>) -> Self {
        Self { buffers, status }
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        self.buffers.end();
    }

    fn take(&self, crop: &Plane, map: &Plane, of: Of) {
        let Some(mut seen) = self.buffers.take() else {
            // The judge or the disk is behind.
            return self.status.count_unseen();
        };
        seen.crop.copy_from_slice(crop);
        seen.map.copy_from_slice(map);
        seen.of = Some(of);
        self.buffers.show(seen);
    }
}

impl Onlooker for Watcher {
    fn see(&self, job: &Job) {
        let Ok(computed) = &job.outcome else { return };
        // The card's own picture, or black: nothing to learn from.
        if !job.has_picture {
            return;
        }
        self.status.saw(Instant::now());
        let model = computed.model.clone();
        let of = Of { scene: job.scene, arrived: job.arrived, spacing: job.spacing, model, why: None };
        self.take(&job.crop, &job.map, of);
    }
}

impl Offer for Watcher {
    fn offer(&self, crop: &Plane, map: &Plane, model: &Arc<Model>, why: Why) {
        let of =
            Of { scene: 0, arrived: Instant::now(), spacing: None, model: model.clone(), why: Some(why) };
        self.take(crop, map, of);
    }
}

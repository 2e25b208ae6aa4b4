//! The newest snapshot, where readers find it. Neither side is the frame thread.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::lock;
use crate::status::snapshot::Snapshot;

/// The newest snapshot.
#[derive(Clone, Default)]
pub struct StatusCell(Arc<Mutex<Option<Snapshot>>>);

impl StatusCell {
    /// Replaces the snapshot.
    pub fn put(&self, snapshot: Snapshot) {
        *self.lock() = Some(snapshot);
    }

    /// The newest snapshot; none before the daemon is ready.
    pub fn get(&self) -> Option<Snapshot> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        lock(&self.0)
    }
}

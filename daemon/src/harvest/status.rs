//! What was kept, for status, metrics and page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::harvest::item::Cause;
use crate::lock::lock;

/// A flag finds pictures if the last is younger.
const FRESH: Duration = Duration::from_secs(2);

/// Shared by all who count.
#[derive(Default)]
pub struct Status {
    kept: [AtomicU64; Cause::ALL.len()],
    lost: AtomicU64,
    unseen: AtomicU64,
    deleted: AtomicU64,
    items: AtomicU64,
    bytes: AtomicU64,
    begun: OnceLock<Instant>,
    /// Milliseconds from `begun` to the last picture, and one; 0 before the first.
    last: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// What was kept for retraining.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HarvestFigures {
    /// Pictures in the folder.
    pub items: u64,
    /// What they take of the disk.
    pub bytes: u64,
    /// Kept since the start, by why.
    pub kept: BTreeMap<&'static str, u64>,
    /// Worth keeping, but the disk was full, gone or too slow.
    pub lost: u64,
    /// Not looked at: the machine was too busy.
    pub unseen: u64,
    /// Deleted to make room.
    pub deleted: u64,
    /// Why nothing can be kept, while that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Status {
    /// A picture came at `now`.
    pub fn saw(&self, now: Instant) {
        self.last.store(self.ms(now) + 1, Relaxed);
    }

    /// Whether a picture came lately.
    pub fn is_fresh(&self, now: Instant) -> bool {
        let last = self.last.load(Relaxed);
        last > 0 && (self.ms(now) + 1).saturating_sub(last) <= FRESH.as_millis() as u64
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(*self.begun.get_or_init(|| now)).as_millis() as u64
    }

    /// One was kept.
    pub fn count_kept(&self, why: Cause) {
        self.kept[why as usize].fetch_add(1, Relaxed);
    }

    /// One was worth keeping and is lost.
    pub fn count_lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// One was not looked at.
    pub fn count_unseen(&self) {
        self.unseen.fetch_add(1, Relaxed);
    }

    /// One was deleted.
    pub fn count_deleted(&self) {
        self.deleted.fetch_add(1, Relaxed);
    }

    /// So much is in the folder.
    pub fn holds(&self, items: u64, bytes: u64) {
        self.items.store(items, Relaxed);
        self.bytes.store(bytes, Relaxed);
    }

    /// Nothing can be kept, or it can again. Returns whether that is news.
    pub fn fail(&self, why: Option<String>) -> bool {
        let mut failed = lock(&self.failed);
        let is_news = failed.is_some() != why.is_some();
        *failed = why;
        is_news
    }

    /// All of it.
    pub fn figures(&self) -> HarvestFigures {
        HarvestFigures {
            items: self.items.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            kept: Cause::ALL.map(|why| (why.name(), self.kept[why as usize].load(Relaxed))).into(),
            lost: self.lost.load(Relaxed),
            unseen: self.unseen.load(Relaxed),
            deleted: self.deleted.load(Relaxed),
            failed: lock(&self.failed).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_fresh_for_two_seconds() {
        let (status, begun) = (Status::default(), Instant::now());
        assert!(!status.is_fresh(begun), "none has come");
        status.saw(begun);
        assert!(status.is_fresh(begun) && status.is_fresh(begun + Duration::from_secs(2)));
        assert!(!status.is_fresh(begun + Duration::from_secs(3)));
    }
}

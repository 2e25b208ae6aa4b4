//! Where the newest bundle of messages is posted, and where clients are counted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::lock::lock;

/// What all threads of a server share.
#[derive(Default)]
pub struct Board {
    posted: Mutex<Posted>,
    changed: Condvar,
    clients: AtomicUsize,
    closed: AtomicBool,
}

#[derive(Default)]
struct Posted {
    /// Counts the bundles, from 1.
    number: u64,
    bundle: Arc<Vec<u8>>,
    /// No other follows.
    has_ended: bool,
}

/// What a client finds.
pub enum News {
    /// A bundle that it has not sent, and its number.
    Bundle(u64, Arc<Vec<u8>>),
    /// Nothing new within the time given.
    Idle,
    /// It has sent the last one, or the server is closed.
    Ended,
}

/// A client that is connected, as long as this lives.
pub struct Seat(Arc<Board>);

impl Board {
    fn posted(&self) -> MutexGuard<'_, Posted> {
        lock(&self.posted)
    }

    /// Posts a bundle in the place of the last.
    pub fn post(&self, bundle: Arc<Vec<u8>>) {
        let mut posted = self.posted();
        posted.number += 1;
        posted.bundle = bundle;
        self.changed.notify_all();
    }

    /// Says that no bundle follows. Clients take the last one and leave.
    pub fn end(&self) {
        self.posted().has_ended = true;
        self.changed.notify_all();
    }

    /// Sends clients away at once.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Whether clients are to leave at once.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether the last client has left after the last bundle.
    pub fn is_over(&self) -> bool {
        self.posted().has_ended && self.clients() == 0
    }

    /// Number of the newest bundle; a client that comes now waits for the next.
    pub fn number(&self) -> u64 {
        self.posted().number
    }

    /// Waits up to `timeout` for a bundle after number `after`.
    pub fn next(&self, after: u64, timeout: Duration) -> News {
        let is_nothing =
            |posted: &mut Posted| posted.number <= after && !posted.has_ended && !self.is_closed();
        let waited = self.changed.wait_timeout_while(self.posted(), timeout, is_nothing);
        let (posted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() || (posted.has_ended && posted.number <= after) {
            News::Ended
        } else if posted.number > after {
            News::Bundle(posted.number, posted.bundle.clone())
        } else {
            News::Idle
        }
    }

    /// How many are connected.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Counts a client.
    pub fn seat(self: &Arc<Self>) -> Seat {
        self.clients.fetch_add(1, Ordering::Relaxed);
        Seat(self.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

//! Back-off: the wait before the next attempt doubles, up to a limit, and is short again after a success that lasted.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use crate::pipeline::LeftBehind;

/// Waits between attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// A success of this length makes the next wait short.
    lasting: Duration,
    /// The share of a wait that is left to chance, so that carts do not all ask at once.
    jitter: f64,
    next: Duration,
    succeeded: Option<Instant>,
    /// An attempt that hangs.
    hanging: Option<LeftBehind>,
}

impl Backoff {
    /// From `first`, doubled up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let (lasting, jitter) = (longest, 0.0);
        Self { first, longest, lasting, jitter, next: first, succeeded: None, hanging: None }
    }

    /// Short again after a success of the length `lasting`; `jitter` is the share of a wait that is left to chance.
    pub fn with(self, lasting: Duration, jitter: f64) -> Self {
        Self { lasting, jitter, ..self }
    }

    /// An attempt succeeded at `now`.
    pub fn succeeded(&mut self, now: Instant) {
        self.succeeded = Some(now);
    }

    /// It failed because of `error`; one that hangs is remembered.
    pub fn remember(&mut self, error: &anyhow::Error) {
        self.hanging = error.downcast_ref::<LeftBehind>().cloned();
    }

    /// Whether the last attempt still hangs: another one would, too.
    pub fn hangs(&self) -> bool {
        self.hanging.as_ref().is_some_and(LeftBehind::hangs)
    }

    /// It failed at `now`, or what it had opened did: when to try again.
    pub fn failed(&mut self, now: Instant) -> Instant {
        let lasted = self.succeeded.take().map(|at| now.saturating_duration_since(at));
        if lasted.is_some_and(|lasted| lasted >= self.lasting) {
            self.next = self.first;
        }
        let at = now + self.jittered(self.next);
        self.next = (self.next * 2).min(self.longest);
        at
    }

    /// There was nobody to be asked at `now`: when to look again. That is soon, for it costs nobody anything.
    pub fn looked(&mut self, now: Instant) -> Instant {
        self.succeeded = None;
        self.next = self.first;
        now + self.jittered(self.first)
    }

    /// A wait, give or take half of the jitter.
    fn jittered(&self, wait: Duration) -> Duration {
        // Seeded anew each time, and far from any need of good numbers.
        let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        wait.mul_f64(1.0 + self.jitter * (random - 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_short_again_after_a_lasting_success() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(8));
        let now = Instant::now();
        let waits: Vec<_> = (0..5).map(|_| (backoff.failed(now) - now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8]);
        backoff.succeeded(now);
        assert_eq!((backoff.failed(now + seconds(7)) - now).as_secs(), 15, "it did not last");
        backoff.succeeded(now);
        assert_eq!((backoff.failed(now + seconds(8)) - now).as_secs(), 9);
    }

    #[test]
    fn looking_whether_somebody_is_there_costs_no_longer_wait() {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5))
            .with(Duration::from_millis(500), 0.4);
        let now = Instant::now();
        let mut waits: Vec<_> = (0..100).map(|_| backoff.looked(now) - now).collect();
        waits.sort();
        assert!(
            waits[0] >= Duration::from_millis(400) && waits[99] <= Duration::from_millis(600),
            "{waits:?}"
        );
        assert!(waits[99] - waits[0] > Duration::from_millis(50), "chance has its share: {waits:?}");
        let asked: Vec<_> = (0..6).map(|_| (backoff.failed(now) - now).as_secs_f64()).collect();
        assert!(asked[5] >= 4.0 && asked[5] <= 6.0, "{asked:?}");
    }
}

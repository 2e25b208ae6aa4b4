//! Back-off: the wait before the next attempt doubles, up to a limit, and is short again after a success that lasted.

use std::time::{Duration, Instant};

use crate::pipeline::LeftBehind;

/// Waits between attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    succeeded: Option<Instant>,
    /// An attempt that hangs.
    hanging: Option<LeftBehind>,
}

impl Backoff {
    /// From `first`, doubled up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first, succeeded: None, hanging: None }
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
        if lasted.is_some_and(|lasted| lasted >= self.longest) {
            self.next = self.first;
        }
        let at = now + self.next;
        self.next = (self.next * 2).min(self.longest);
        at
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
}

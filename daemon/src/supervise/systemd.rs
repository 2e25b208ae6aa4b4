//! What systemd hears: ready, stopping, and that frames make progress.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Says that the daemon runs.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Says that it stops.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds systemd's watchdog while the frame thread makes its rounds.
pub struct Watchdog {
    /// None where there is no watchdog.
    interval: Option<Duration>,
    due: Instant,
    beats: u64,
}

impl Watchdog {
    /// As systemd asks for.
    pub fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|timeout| timeout / 2);
        Self { interval, due: Instant::now(), beats: 0 }
    }

    /// Feeds it when that is due and the frame thread, at its `beats`th round, has moved since the last time, or need not.
    pub fn look(&mut self, beats: u64, is_patient: bool, now: Instant) {
        let Some(interval) = self.interval else { return };
        if now >= self.due && (is_patient || beats != self.beats) {
            (self.due, self.beats) = (now + interval, beats);
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(state);
}

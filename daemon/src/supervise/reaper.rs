//! Drops what left the frame path, on a thread of its own: an engine or a pipeline that hangs keeps nobody waiting.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Sender, unbounded};

/// The thread.
pub struct Reaper {
    parts: Sender<Box<dyn Send>>,
    thread: JoinHandle<()>,
}

impl Reaper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> Result<Self> {
        let (parts, taken) = unbounded::<Box<dyn Send>>();
        let run = move || taken.into_iter().for_each(drop);
        let thread =
            thread::Builder::new().name("reaper".into()).spawn(run).context("cannot start a thread")?;
        Ok(Self { parts, thread })
    }

    /// Drops `part`, in its turn.
    pub fn take(&self, part: impl Send + 'static) {
        // The thread lives as long as `self`.
        let _ = self.parts.send(Box::new(part));
    }

    /// Waits until everything is dropped, up to `patience`.
    pub fn finish(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        drop(self.parts);
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

//! What the engine's thread and those who look at it share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nervelight_engines::EngineError;

/// What the thread and those who look at it share.
pub struct Shared {
    epoch: Instant,
    /// When the engine took the crop it is working on; microseconds, 0 while it is idle.
    busy_since: AtomicU64,
    is_open: AtomicBool,
    /// Why the GPU is lost, once it is.
    lost: OnceLock<String>,
}

impl Shared {
    /// Neither open nor at work.
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
            busy_since: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            lost: OnceLock::new(),
        }
    }

    /// Whether the engine has been opened.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Why the GPU can compute nothing for this process any more, if so.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// How long the engine has been at its present crop.
    pub fn busy_for(&self) -> Duration {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.now().saturating_sub(since)),
        }
    }

    /// The engine is open.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// The engine begins with a crop.
    pub fn begin(&self) {
        self.busy_since.store(self.now().max(1), Ordering::Relaxed);
    }

    /// It is idle again.
    pub fn end(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    /// Remembers that the GPU is lost, if `error` says so.
    pub fn look_for_lost_device(&self, error: &EngineError) {
        if error.is_device_lost() {
            self.lost.get_or_init(|| error.to_string());
        }
    }
}

//! The engine's thread as the frame path sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use nervelight_engines::{EngineError, Plane, plane};

use crate::exit;
use crate::infer::job::{Job, Origin};
use crate::infer::shared::Shared;
use crate::infer::worker::Worker;
use crate::infer::{Model, OpenEngine, WorkSettings};

/// Jobs in circulation: one waits, one is computed, one is answered, one is shown, one is filled.
const JOBS: usize = 5;
/// How long the end waits for an engine that is at work.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for one that is being opened or built: it looks only between steps whether it should stop.
const OPENING_PATIENCE: Duration = Duration::from_millis(1500);
/// Time between looks at whether to stop.
const POLL: Duration = Duration::from_millis(50);

/// Hears of every opening of the engine: the first, and those after failures.
pub type Openings = Receiver<Result<Arc<Model>, EngineError>>;

/// The engine's thread. Dropping it waits for the engine, so that happens on the supervisor's side.
pub struct Inference {
    /// None once the engine is told to stop.
    requests: Option<Sender<Job>>,
    untaken: Receiver<Job>,
    results: Receiver<Job>,
    spare: Vec<Job>,
    outstanding: usize,
    shared: Arc<Shared>,
    /// Disconnected when the thread has ended and freed its engine.
    running: Receiver<()>,
}

impl Inference {
    /// Starts the thread and waits until the engine is open. None when the daemon is told to stop meanwhile.
    ///
    /// # Errors
    /// What `open` says, or that no thread can be started.
    pub fn start(
        open: OpenEngine,
        settings: WorkSettings,
        stop: &AtomicBool,
    ) -> Result<Option<(Self, Arc<Model>, Openings)>> {
        let (this, openings) = Self::start_opening(open, settings)?;
        while !stop.load(Ordering::Relaxed) {
            match openings.recv_timeout(POLL) {
                Ok(model) => return Ok(Some((this, model?, openings))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the engine's thread died while opening"),
            }
        }
        Ok(None)
    }

    /// Starts the thread, which reports when the engine is open, or why it cannot be: the video need not wait for a
    /// build of minutes.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start_opening(open: OpenEngine, settings: WorkSettings) -> Result<(Self, Openings)> {
        let (requests, taken) = bounded::<Job>(1);
        let (answers, results) = bounded(JOBS);
        let (openings, heard) = unbounded();
        let (alive, running) = bounded(0);
        let untaken = taken.clone();
        let shared = Arc::new(Shared::new());
        let worker = Worker::new(open, settings, taken, answers, openings, shared.clone());
        let run = move || {
            worker.run();
            drop(alive);
        };
        thread::Builder::new()
            .name("engine".into())
            .spawn(run)
            .context("cannot start the engine's thread")?;
        let now = Instant::now();
        let job = || Job {
            number: 0,
            scene: 0,
            arrived: now,
            is_scan: false,
            is_aside: false,
            spacing: None,
            has_picture: false,
            crop: plane(),
            map: plane(),
            outcome: Err(EngineError::Infer("not computed yet".into())),
        };
        let spare = std::iter::repeat_with(job).take(JOBS).collect();
        let requests = Some(requests);
        Ok((Self { requests, untaken, results, spare, outstanding: 0, shared, running }, heard))
    }

    /// Hands the engine the crop that `fill` writes. A crop that it has not begun is displaced.
    /// Returns how many crops were skipped: displaced ones, or this one if no job is free.
    pub fn submit(&mut self, of: Origin, fill: impl FnOnce(&mut Plane)) -> u64 {
        let Some(mut job) = self.spare.pop() else { return 1 };
        (job.number, job.scene, job.arrived) = (of.number, of.scene, of.arrived);
        (job.is_scan, job.is_aside) = (of.is_scan, false);
        (job.spacing, job.has_picture) = (of.spacing, of.has_picture);
        fill(&mut job.crop);
        self.send(job)
    }

    /// Hands an engine that is not shown a crop of this `number`. Returns how many crops were skipped.
    pub fn submit_aside(&mut self, number: u64, crop: &Plane) -> u64 {
        let Some(mut job) = self.spare.pop() else { return 1 };
        (job.number, job.is_scan, job.is_aside) = (number, true, true);
        job.crop.copy_from_slice(crop);
        self.send(job)
    }

    fn send(&mut self, job: Job) -> u64 {
        let mut skipped = 0;
        if let Ok(stale) = self.untaken.try_recv() {
            self.spare.push(stale);
            self.outstanding -= 1;
            skipped = 1;
        }
        let Some(requests) = &self.requests else { return 1 };
        match requests.try_send(job) {
            Ok(()) => self.outstanding += 1,
            Err(refused) => self.spare.push(refused.into_inner()),
        }
        skipped
    }

    /// The next answer, if there is one within `timeout`. Give it back through [`Self::recycle`].
    pub fn answer(&mut self, timeout: Duration) -> Option<Job> {
        let job = match timeout {
            Duration::ZERO => self.results.try_recv().ok(),
            _ => self.results.recv_timeout(timeout).ok(),
        }?;
        self.outstanding -= 1;
        Some(job)
    }

    /// Puts an answer's memory back into circulation.
    pub fn recycle(&mut self, job: Job) {
        self.spare.push(job);
    }

    /// Forgets what was answered while nobody waited for it.
    pub fn forget(&mut self) {
        while let Some(job) = self.answer(Duration::ZERO) {
            self.recycle(job);
        }
    }

    /// Whether the engine has been opened; before that nothing need be submitted.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Whether the engine has answered everything it was given.
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    /// How long the engine has been at its present crop.
    pub fn busy_for(&self) -> Duration {
        self.shared.busy_for()
    }

    /// For who looks after the engine from outside.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Drop for Inference {
    /// Waits for the engine to finish its crop: a runtime must not be torn down under it.
    fn drop(&mut self) {
        self.requests = None;
        while self.untaken.try_recv().is_ok() {}
        let patience = if self.is_open() { PATIENCE } else { OPENING_PATIENCE };
        if self.running.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            exit::leave_at_work();
            match self.is_open() {
                true => tracing::error!("the engine hangs; its thread is left behind"),
                false => tracing::info!("the engine is still being built; the process ends without it"),
            }
        }
    }
}

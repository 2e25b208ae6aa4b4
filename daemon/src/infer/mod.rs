//! Inference: the engine on a thread of its own, so that the video never waits for it longer than
//! it is told to, whether the engine is slow, fails or hangs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use nervelight_engines::{Engine, EngineError, EngineInfo, Plane, plane};

/// Opens an engine, at the start and again after failures.
pub type OpenEngine = Box<dyn FnMut() -> Result<Box<dyn Engine>, EngineError> + Send>;

/// Jobs in circulation: one waits, one is computed, one is answered, one is shown, one is filled.
const JOBS: usize = 5;
/// Failures in a row after which the engine is opened anew.
const FAILURES_TO_REOPEN: u32 = 3;
/// How long the end waits for an engine that is at work.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for one that is being opened or built: it looks only between steps whether it should stop.
const OPENING_PATIENCE: Duration = Duration::from_millis(1500);
/// How long `build`, which keeps no video, waits for a step of TensorRT's to end; some take minutes.
pub const BUILD_PATIENCE: Duration = Duration::from_secs(10);
/// Time between looks at whether to stop.
const POLL: Duration = Duration::from_millis(50);
/// Least time from one opening to the next.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Whether an engine's thread was left at work.
static LEFT_AT_WORK: AtomicBool = AtomicBool::new(false);

/// The GPU failed in a way that this process cannot recover from; a new process may.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DeviceLost(pub String);

/// Ends the process if an engine's thread is still at work: the destructors of the libraries that it is in must not run
/// now.
pub fn exit_if_left_at_work(code: u8) {
    if LEFT_AT_WORK.load(Ordering::Relaxed) {
        exit_at_once(code);
    }
}

/// Ends the process without any library's destructors.
pub fn exit_at_once(code: u8) -> ! {
    signal_hook::low_level::exit(code.into())
}

/// A crop on its way to the engine, or its map on the way back. Circulates, is never reallocated.
pub struct Job {
    /// Number of the frame that the crop was taken from.
    pub number: u64,
    /// When that frame arrived.
    pub arrived: Instant,
    /// Full-range luma.
    pub crop: Box<Plane>,
    /// Probability x 255; valid if `outcome` is good.
    pub map: Box<Plane>,
    /// Time the engine took.
    pub outcome: Result<Duration, EngineError>,
}

/// The engine's thread, seen from the frame's way.
pub struct Inference {
    /// None once the engine is told to stop.
    requests: Option<Sender<Job>>,
    untaken: Receiver<Job>,
    results: Receiver<Job>,
    spare: Vec<Job>,
    outstanding: usize,
    busy: Arc<BusySince>,
    is_open: Arc<AtomicBool>,
    /// Why the GPU is lost, once it is.
    lost: Arc<OnceLock<String>>,
    /// Disconnected when the thread has ended and freed its engine.
    running: Receiver<()>,
}

/// When the engine took the crop it is working on; microseconds, 0 while it is idle.
struct BusySince {
    epoch: Instant,
    micros: AtomicU64,
}

impl BusySince {
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }
}

impl Inference {
    /// Starts the thread and waits until the engine is open. None when the daemon is told to stop meanwhile.
    ///
    /// # Errors
    /// What `open` says, or that no thread can be started.
    pub fn start(open: OpenEngine, stop: &AtomicBool) -> Result<Option<(Self, EngineInfo)>> {
        let (this, opened) = Self::start_opening(open)?;
        while !stop.load(Ordering::Relaxed) {
            match opened.recv_timeout(POLL) {
                Ok(info) => return Ok(Some((this, info?))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the engine's thread died while opening"),
            }
        }
        Ok(None)
    }

    /// Starts the thread, which tells when the engine is open, or why it cannot be: the video need not wait for a
    /// build of minutes.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start_opening(mut open: OpenEngine) -> Result<(Self, Receiver<Result<EngineInfo, EngineError>>)> {
        let (requests, taken) = bounded::<Job>(1);
        let (answers, results) = bounded(JOBS);
        let (ready, opened) = bounded(1);
        let (alive, running) = bounded(0);
        let busy = Arc::new(BusySince { epoch: Instant::now(), micros: AtomicU64::new(0) });
        let untaken = taken.clone();
        let worker_busy = busy.clone();
        let is_open = Arc::new(AtomicBool::new(false));
        let worker_is_open = is_open.clone();
        let lost = Arc::new(OnceLock::new());
        let worker_lost = lost.clone();
        thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                yield_to_the_video();
                match open() {
                    Ok(engine) => {
                        worker_is_open.store(true, Ordering::Relaxed);
                        let _ = ready.send(Ok(engine.info().clone()));
                        work(engine, &mut open, &taken, &answers, &worker_busy, &worker_lost);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
                drop(alive);
            })
            .context("cannot start the engine's thread")?;
        let now = Instant::now();
        let job =
            || Job { number: 0, arrived: now, crop: plane(), map: plane(), outcome: Ok(Duration::ZERO) };
        let spare = std::iter::repeat_with(job).take(JOBS).collect();
        let requests = Some(requests);
        Ok((Self { requests, untaken, results, spare, outstanding: 0, busy, is_open, lost, running }, opened))
    }

    /// Hands the engine the crop that `fill` writes. A crop that it has not begun is displaced.
    /// Returns how many crops were skipped: displaced ones, or this one if no job is free.
    pub fn submit(&mut self, number: u64, arrived: Instant, fill: impl FnOnce(&mut Plane)) -> u64 {
        let Some(mut job) = self.spare.pop() else { return 1 };
        job.number = number;
        job.arrived = arrived;
        fill(&mut job.crop);
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

    /// Whether the engine has been opened; before that nothing need be submitted.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Why the GPU can compute nothing for this process any more, if so.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Whether the engine has answered everything it was given.
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    /// How long the engine has been at its present crop.
    pub fn busy_for(&self) -> Duration {
        match self.busy.micros.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.busy.now().saturating_sub(since)),
        }
    }
}

impl Drop for Inference {
    /// Waits for the engine to finish its crop: a runtime must not be torn down under it.
    fn drop(&mut self) {
        self.requests = None;
        while self.untaken.try_recv().is_ok() {}
        let patience = if self.is_open() { PATIENCE } else { OPENING_PATIENCE };
        let ended = self.running.recv_timeout(patience);
        if ended == Err(RecvTimeoutError::Timeout) {
            LEFT_AT_WORK.store(true, Ordering::Relaxed);
            match self.is_open() {
                true => tracing::error!("the engine hangs; the process ends without it"),
                false => tracing::info!("the engine is still being built; the process ends without it"),
            }
        }
    }
}

/// Threads that the engine starts inherit this thread's lower priority: when there are fewer cores
/// than work, the frame that is due goes first.
fn yield_to_the_video() {
    if let Err(e) = rustix::process::nice(5) {
        tracing::warn!(error = %e, "cannot lower the engine's priority");
    }
}

fn work(
    engine: Box<dyn Engine>,
    open: &mut OpenEngine,
    requests: &Receiver<Job>,
    answers: &Sender<Job>,
    busy: &BusySince,
    lost: &OnceLock<String>,
) {
    let mut engine = Some(engine);
    let mut failures = 0;
    let mut last_opening: Option<Instant> = None;
    for mut job in requests {
        busy.micros.store(busy.now().max(1), Ordering::Relaxed);
        let may_reopen = last_opening.is_none_or(|at| at.elapsed() >= REOPEN_INTERVAL);
        if failures >= FAILURES_TO_REOPEN && may_reopen {
            // The old engine is freed first: a device may have no room for two.
            engine = None;
            last_opening = Some(Instant::now());
            match open() {
                Ok(opened) => engine = Some(opened),
                Err(error) => {
                    if error.is_device_lost() {
                        lost.get_or_init(|| error.to_string());
                    }
                    tracing::error!(%error, "the engine cannot be opened anew");
                }
            }
        }
        let begun = Instant::now();
        job.outcome = match &mut engine {
            Some(engine) => engine.infer(&job.crop, &mut job.map).map(|()| begun.elapsed()),
            None => Err(EngineError::Infer("the engine is closed; opening it is tried again shortly".into())),
        };
        if let Err(error) = &job.outcome
            && error.is_device_lost()
        {
            lost.get_or_init(|| error.to_string());
        }
        failures = if job.outcome.is_ok() { 0 } else { failures + 1 };
        busy.micros.store(0, Ordering::Relaxed);
        if answers.send(job).is_err() {
            break;
        }
    }
}

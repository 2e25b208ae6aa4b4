//! The engine's thread: one crop after the other, and a new engine after failures.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use nervelight_engines::{Engine, EngineError};

use crate::infer::job::{Computed, Job};
use crate::infer::shared::Shared;
use crate::infer::steady::SteadyMaps;
use crate::infer::{Model, Onlookers, OpenEngine, WorkSettings};

/// Failures in a row after which the engine is opened anew.
const FAILURES_TO_REOPEN: u32 = 3;
/// Least time from one opening to the next.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Yields to the video, as do the threads that the engine starts.
const NICE: i32 = 5;
/// Yields to the engine whose masks are shown, too.
const NICE_SPARE: i32 = 15;

/// The thread's own end.
pub struct Worker {
    /// Opens an engine, at the start and again after failures.
    open: OpenEngine,
    nice: i32,
    /// Averages maps over time, if that is wanted.
    steady: Option<SteadyMaps>,
    /// Who sees the answers before that.
    onlookers: Onlookers,
    /// Crops to compute.
    requests: Receiver<Job>,
    /// Their maps.
    answers: Sender<Job>,
    /// Hears of every opening, and why one failed.
    openings: Sender<Result<Arc<Model>, EngineError>>,
    /// What others look at.
    shared: Arc<Shared>,
}

impl Worker {
    /// Of an engine that `open` opens.
    pub fn new(
        open: OpenEngine,
        settings: WorkSettings,
        requests: Receiver<Job>,
        answers: Sender<Job>,
        openings: Sender<Result<Arc<Model>, EngineError>>,
        shared: Arc<Shared>,
    ) -> Self {
        let WorkSettings { steady, onlookers, is_spare } = settings;
        let (nice, steady) = (if is_spare { NICE_SPARE } else { NICE }, steady.then(SteadyMaps::default));
        Self { open, nice, steady, onlookers, requests, answers, openings, shared }
    }

    /// Opens the engine and computes until there is nobody left to ask.
    pub fn run(mut self) {
        yield_to_others(self.nice);
        let mut engine = self.open_engine();
        if engine.is_none() {
            // What keeps an engine from opening at the start is not tried again: a build may take minutes.
            return;
        }
        let mut failures = 0;
        let mut last_opening: Option<Instant> = None;
        while let Ok(mut job) = self.requests.recv() {
            let may_reopen = last_opening.is_none_or(|at| at.elapsed() >= REOPEN_INTERVAL);
            if (engine.is_none() || failures >= FAILURES_TO_REOPEN) && may_reopen {
                // The old engine is freed first: a device may have no room for two.
                drop(engine.take());
                last_opening = Some(Instant::now());
                engine = self.open_engine();
            }
            // An opening may take long, and is no hang.
            self.shared.begin();
            job.outcome = self.compute(&mut engine, &mut job);
            if !job.is_aside {
                self.show(&mut job);
            }
            failures = if job.outcome.is_ok() { 0 } else { failures + 1 };
            self.shared.end();
            if self.answers.send(job).is_err() {
                break;
            }
        }
    }

    /// Shows an answer to those who look on, and makes its map steady.
    fn show(&mut self, job: &mut Job) {
        self.onlookers.iter().for_each(|onlooker| onlooker.see(job));
        match (&job.outcome, &mut self.steady) {
            (Ok(_), Some(steady)) => steady.apply(job),
            (Err(_), Some(steady)) => steady.forget(),
            (_, None) => {}
        }
    }

    fn open_engine(&mut self) -> Option<Opened> {
        let opened = catch_unwind(AssertUnwindSafe(|| (self.open)()))
            .unwrap_or_else(|panic| Err(EngineError::Infer(words(&*panic))));
        if let Err(error) = &opened {
            self.shared.look_for_lost_device(error);
        }
        let (heard, engine) = match opened {
            Ok((engine, model)) => {
                // Before it is told: who hears of it gives it a crop.
                self.shared.open();
                (Ok(model.clone()), Some((engine, model)))
            }
            Err(error) => (Err(error), None),
        };
        // At the end nobody listens any more.
        let _ = self.openings.send(heard);
        engine
    }

    fn compute(&self, opened: &mut Option<Opened>, job: &mut Job) -> Result<Computed, EngineError> {
        let Some((engine, model)) = opened else {
            return Err(EngineError::Infer("the engine is closed; opening it is tried again shortly".into()));
        };
        let begun = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| engine.infer(&job.crop, &mut job.map)));
        match done {
            Ok(Ok(())) => Ok(Computed { took: begun.elapsed(), model: model.clone() }),
            Ok(Err(error)) => {
                self.shared.look_for_lost_device(&error);
                Err(error)
            }
            Err(panic) => {
                // Nobody knows what state it left behind.
                *opened = None;
                Err(EngineError::Infer(words(&*panic)))
            }
        }
    }
}

type Opened = (Box<dyn Engine>, Arc<Model>);

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the engine's code panicked: {}", text.unwrap_or("it did not say why"))
}

/// Threads that the engine starts inherit this thread's lower priority: when there are fewer cores
/// than work, the frame that is due goes first.
fn yield_to_others(nice: i32) {
    if let Err(e) = rustix::process::nice(nice) {
        tracing::warn!(error = %e, "cannot lower the engine's priority");
    }
}

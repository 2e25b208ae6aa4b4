//! Keeps an engine open: the first, another one when it hangs, and another model's when that is to take its place. After
//! failures the engine's own thread opens it anew.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use nervelight_engines::tensorrt::{self, TensorrtError};
use nervelight_engines::{BuildMonitor, BuildProgress, Bundle, EngineError, EngineInfo};

use crate::config::Config;
use crate::infer::{Inference, Model, Onlookers, Openings, Shared};
use crate::supervise::backoff::Backoff;
use crate::supervise::opener::{Opener, Openers};

/// An engine that is at one crop for so many times `sync.engine_timeout`, and for [`LEAST_HANG`], is opened anew.
const HANGS: u32 = 4;
/// See [`HANGS`].
const LEAST_HANG: Duration = Duration::from_secs(2);

/// What became of the engine.
pub enum EngineNews {
    /// This runs from now on.
    Runs(Arc<Model>),
    /// It could not be opened.
    Failed(String),
    /// The GPU is lost to this process.
    Lost(String),
    /// Another engine is open, to take the place of the one that hangs.
    Replacement(Inference),
    /// It is at one crop for so long, and another model stands by.
    Hangs(Duration),
    /// Another model's engine is open and proven, or cannot be.
    Candidate(Result<Arc<Model>, EngineError>),
}

/// The engine that runs, or will once it is built.
pub struct FirstEngine {
    /// What it is.
    pub engine: EngineInfo,
    /// Which opening it is; 0 where it is still to come.
    pub generation: u64,
}

/// Opens engines and looks after the one at work.
pub struct EngineKeeper {
    common: Openers,
    hang: Duration,
    active: Seat,
    /// Another engine of the same model, while it is being opened.
    replacement: Option<(Inference, Openings)>,
    /// Another model's.
    candidate: Option<Candidate>,
    /// The model before, ready to come back at once.
    standby: Option<Standby>,
    /// The last opening failed.
    has_failed: bool,
    backoff: Backoff,
    may_open: Instant,
}

/// A model's engine, whoever holds it.
struct Seat {
    opener: Opener,
    shared: Arc<Shared>,
    openings: Openings,
    model: Option<Arc<Model>>,
}

impl Seat {
    /// Of an engine that is being opened from now on.
    fn of(opener: Opener) -> Result<(Self, Inference)> {
        let (inference, openings) = opener.start(false)?;
        Ok((Self { opener, shared: inference.shared(), openings, model: None }, inference))
    }
}

struct Candidate {
    seat: Seat,
    inference: Inference,
}

struct Standby {
    seat: Seat,
    /// None while the frame thread has it still, or somebody borrows it.
    inference: Option<Inference>,
}

impl EngineKeeper {
    /// Starts the engine's thread. A TensorRT engine is opened while live video passes already: it may have to be
    /// built. What is missing for that is found before. None when the daemon is told to stop meanwhile, which TensorRT
    /// may not hear for minutes.
    ///
    /// # Errors
    /// Why there can be no engine.
    pub fn start(
        config: &Config,
        bundle: Bundle,
        onlookers: Onlookers,
        stop: &Arc<AtomicBool>,
    ) -> Result<Option<(Self, Inference, FirstEngine)>> {
        let common = Openers { config: config.clone(), onlookers, openings: Arc::default() };
        let opener = common.of(bundle, BuildMonitor::new(stop.clone()));
        let (inference, first, openings, model) =
            if config.engine.backend.is_tensorrt() && config.source.is_live() {
                let engine = tensorrt::probe(opener.bundle(), &config.engine)?.info;
                let (inference, openings) = opener.start(false)?;
                (inference, FirstEngine { engine, generation: 0 }, openings, None)
            } else {
                let Some((inference, model, openings)) =
                    Inference::start(opener.open(), opener.work(false), stop)?
                else {
                    return Ok(None);
                };
                log_ready(&model.engine);
                let first = FirstEngine { engine: model.engine.clone(), generation: model.generation };
                (inference, first, openings, Some(model))
            };
        let now = Instant::now();
        let keeper = Self {
            common,
            hang: (config.sync.engine_timeout * HANGS).max(LEAST_HANG),
            active: Seat { opener, shared: inference.shared(), openings, model },
            replacement: None,
            candidate: None,
            standby: None,
            has_failed: false,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            may_open: now,
        };
        Ok(Some((keeper, inference, first)))
    }

    /// How far the build of the engine is, while there is one.
    pub fn progress(&self) -> Option<BuildProgress> {
        self.active.opener.progress()
    }

    /// Whether an engine is being opened to take the place of the present one.
    pub fn is_opening(&self) -> bool {
        self.replacement.is_some() || !(self.active.shared.is_open() || self.has_failed)
    }

    /// Opens another engine; the present one stays at work until then.
    pub fn reopen(&mut self) {
        match self.active.opener.start(false) {
            Ok(opening) => self.replacement = Some(opening),
            Err(error) => tracing::error!(%error, "the engine cannot be opened anew"),
        }
    }

    /// An opener of another model.
    pub fn opener(&self, bundle: Bundle) -> Opener {
        self.common.of(bundle, BuildMonitor::default())
    }

    /// Opens another model's engine beside the one at work; [`EngineNews::Candidate`] follows.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn try_out(&mut self, opener: Opener) -> Result<()> {
        let (seat, inference) = Seat::of(opener)?;
        self.candidate = Some(Candidate { seat, inference });
        Ok(())
    }

    /// Opens another model's engine to stand by, for a way back at once.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn stand_by(&mut self, opener: Opener) -> Result<()> {
        let (seat, inference) = Seat::of(opener)?;
        self.standby = Some(Standby { seat, inference: Some(inference) });
        Ok(())
    }

    /// The candidate is at work from now on, and the model at work until now stands by. Returns what the frame thread has to
    /// be given, and what is over.
    pub fn swap_in(&mut self) -> Option<(Inference, Vec<Inference>)> {
        let candidate = self.candidate.take()?;
        let over = self.replacement.take().map(|(inference, _)| inference);
        let over = over.into_iter().chain(self.release_standby()).collect();
        let Candidate { seat, inference } = candidate;
        let old = std::mem::replace(&mut self.active, seat);
        self.standby = Some(Standby { seat: old, inference: None });
        (self.has_failed, self.may_open) = (false, Instant::now());
        Some((inference, over))
    }

    /// The model before is at work from now on, at once. None where it does not stand by, or somebody has it.
    pub fn way_back(&mut self) -> Option<(Inference, Vec<Inference>)> {
        let is_here = |standby: &mut Standby| standby.inference.as_ref().is_some_and(Inference::is_open);
        let mut standby = self.standby.take_if(is_here)?;
        let over = self.replacement.take().map(|(inference, _)| inference).into_iter().collect();
        // What was opened to stand by has not been heard of yet.
        let opened = standby.seat.openings.try_iter().filter_map(Result::ok).last();
        standby.seat.model = opened.or(standby.seat.model);
        self.active = standby.seat;
        (self.has_failed, self.may_open) = (false, Instant::now());
        Some((standby.inference?, over))
    }

    /// The frame thread gave an engine back. Returns it where it is of no use any more.
    pub fn retired(&mut self, mut inference: Inference) -> Option<Inference> {
        match &mut self.standby {
            Some(Standby { seat, inference: place @ None })
                if Arc::ptr_eq(&seat.shared, &inference.shared()) =>
            {
                inference.forget();
                *place = Some(inference);
                None
            }
            _ => Some(inference),
        }
    }

    /// Lends the engine that stands by; [`Self::retired`] takes it back.
    pub fn lend_standby(&mut self) -> Option<Inference> {
        self.standby.as_mut()?.inference.take()
    }

    /// Nothing has to stand by any more.
    pub fn release_standby(&mut self) -> Option<Inference> {
        self.standby.take()?.inference
    }

    /// The candidate is not wanted.
    pub fn drop_candidate(&mut self) -> Option<Inference> {
        let candidate = self.candidate.take()?;
        candidate.seat.opener.cancel();
        Some(candidate.inference)
    }

    /// What the model at work is, once its engine is open.
    pub fn model(&self) -> Option<&Arc<Model>> {
        self.active.model.as_ref()
    }

    /// Its bundle.
    pub fn bundle(&self) -> &Arc<Bundle> {
        self.active.opener.bundle()
    }

    /// Looks at the engine; returns what became of it.
    pub fn look(&mut self, now: Instant) -> Vec<EngineNews> {
        let mut news: Vec<_> = self.active.openings.try_iter().filter_map(told).collect();
        if let Some(why) = self.active.shared.lost() {
            news.push(EngineNews::Lost(why.into()));
        }
        if let Some((inference, openings)) = self.replacement.take() {
            match openings.try_recv() {
                Ok(opened @ Ok(_)) => {
                    self.backoff.succeeded(now);
                    (self.active.shared, self.active.openings) = (inference.shared(), openings);
                    news.extend(told(opened));
                    news.push(EngineNews::Replacement(inference));
                }
                Ok(failed @ Err(_)) => {
                    news.extend(told(failed));
                    self.may_open = self.backoff.failed(now);
                }
                Err(_) => self.replacement = Some((inference, openings)),
            }
        }
        for of in &news {
            match of {
                EngineNews::Runs(model) => {
                    (self.has_failed, self.active.model) = (false, Some(model.clone()));
                }
                EngineNews::Failed(_) | EngineNews::Lost(_) => self.has_failed = true,
                _ => {}
            }
        }
        news.extend(self.look_at_candidate());
        let busy = self.active.shared.busy_for();
        if busy > self.hang && self.replacement.is_none() && now >= self.may_open {
            self.may_open = self.backoff.failed(now);
            if self.standby.is_some() {
                tracing::error!(
                    seconds = busy.as_secs_f64(),
                    "the engine hangs, and another model stands by"
                );
                news.push(EngineNews::Hangs(busy));
            } else {
                tracing::error!(seconds = busy.as_secs_f64(), "the engine hangs; it is opened anew");
                self.reopen();
            }
        }
        news
    }

    fn look_at_candidate(&mut self) -> Option<EngineNews> {
        let candidate = self.candidate.as_mut()?;
        let opened = candidate.seat.openings.try_recv().ok()?;
        match opened {
            Ok(model) => {
                log_ready(&model.engine);
                candidate.seat.model = Some(model.clone());
                Some(EngineNews::Candidate(Ok(model)))
            }
            Err(error) if error.is_device_lost() => Some(EngineNews::Lost(error.to_string())),
            Err(error) => Some(EngineNews::Candidate(Err(error))),
        }
    }
}

impl Drop for EngineKeeper {
    /// A build that nobody waits for any more need not go on.
    fn drop(&mut self) {
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.seat);
        for seat in candidate.into_iter().chain([&self.active]) {
            seat.opener.cancel();
        }
    }
}

fn told(opened: Result<Arc<Model>, EngineError>) -> Option<EngineNews> {
    match opened {
        Ok(model) => {
            log_ready(&model.engine);
            Some(EngineNews::Runs(model))
        }
        Err(EngineError::Tensorrt(TensorrtError::Cancelled)) => None,
        Err(error) if error.is_device_lost() => Some(EngineNews::Lost(error.to_string())),
        Err(error) => Some(EngineNews::Failed(error.to_string())),
    }
}

fn log_ready(engine: &EngineInfo) {
    tracing::info!(runtime = %engine.runtime, provider = %engine.provider, precision = %engine.precision,
        threads = engine.threads, "engine ready");
}

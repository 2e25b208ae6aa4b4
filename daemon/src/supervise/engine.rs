//! Keeps an engine open: the first, and another one when it hangs. After failures the engine's own thread opens it anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use nervelight_engines::bundle::threshold_byte;
use nervelight_engines::tensorrt::{self, TensorrtError};
use nervelight_engines::{BuildMonitor, BuildProgress, Bundle, EngineError, EngineInfo, open_proven};

use crate::config::Config;
use crate::infer::{Inference, Model, Onlookers, OpenEngine, Openings, Shared};
use crate::supervise::backoff::Backoff;

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
    opener: Opener,
    hang: Duration,
    shared: Arc<Shared>,
    openings: Openings,
    replacement: Option<(Inference, Openings)>,
    /// The last opening failed.
    has_failed: bool,
    backoff: Backoff,
    may_open: Instant,
}

/// What every opening needs.
#[derive(Clone)]
struct Opener {
    config: Config,
    bundle: Arc<Bundle>,
    onlookers: Onlookers,
    monitor: Arc<BuildMonitor>,
    openings: Arc<AtomicU64>,
}

impl Opener {
    /// For the model in `bundle`; `monitor` shows a build and stops it.
    fn new(config: &Config, bundle: Bundle, onlookers: Onlookers, monitor: Arc<BuildMonitor>) -> Self {
        Self {
            config: config.clone(),
            bundle: Arc::new(bundle),
            onlookers,
            monitor,
            openings: Arc::default(),
        }
    }

    /// Starts an engine's thread, which reports when the engine is open.
    fn start(&self) -> Result<(Inference, Openings)> {
        Inference::start_opening(self.open(), self.config.overlay.steady, self.onlookers.clone())
    }

    /// Opens the engine and proves it on the bundle's golden frames, which also warms it up.
    fn open(&self) -> OpenEngine {
        let this = self.clone();
        Box::new(move || {
            let (engine, agreement) = open_proven(&this.bundle, &this.config.engine, &this.monitor)?;
            tracing::info!(dice = agreement.dice, "golden frames agree");
            // One byte of one frame, which sounds like a failure and is none.
            tracing::debug!(max_diff = agreement.max_diff, "largest difference of a probability x 255");
            let (manifest, overlay) = (&this.bundle.manifest, &this.config.overlay);
            let model = Model {
                engine: engine.info().clone(),
                threshold: threshold_byte(overlay.threshold.unwrap_or(manifest.threshold)),
                min_area: overlay.min_area.unwrap_or(manifest.min_area),
                generation: this.openings.fetch_add(1, Ordering::Relaxed) + 1,
            };
            Ok((engine, Arc::new(model)))
        })
    }
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
        let opener = Opener::new(config, bundle, onlookers, Arc::new(BuildMonitor::new(stop.clone())));
        let (inference, first, openings) = if config.engine.backend.is_tensorrt() && config.source.is_live() {
            let engine = tensorrt::probe(&opener.bundle, &config.engine)?.info;
            let (inference, openings) = opener.start()?;
            (inference, FirstEngine { engine, generation: 0 }, openings)
        } else {
            let Some((inference, model, openings)) =
                Inference::start(opener.open(), config.overlay.steady, opener.onlookers.clone(), stop)?
            else {
                return Ok(None);
            };
            log_ready(&model.engine);
            let first = FirstEngine { engine: model.engine.clone(), generation: model.generation };
            (inference, first, openings)
        };
        let now = Instant::now();
        let keeper = Self {
            opener,
            hang: (config.sync.engine_timeout * HANGS).max(LEAST_HANG),
            shared: inference.shared(),
            openings,
            replacement: None,
            has_failed: false,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            may_open: now,
        };
        Ok(Some((keeper, inference, first)))
    }

    /// How far the build of the engine is, while there is one.
    pub fn progress(&self) -> Option<BuildProgress> {
        self.opener.monitor.progress()
    }

    /// Whether an engine is being opened to take the place of the present one.
    pub fn is_opening(&self) -> bool {
        self.replacement.is_some() || !(self.shared.is_open() || self.has_failed)
    }

    /// Opens another engine; the present one stays at work until then.
    pub fn reopen(&mut self) {
        match self.opener.start() {
            Ok(opening) => self.replacement = Some(opening),
            Err(error) => tracing::error!(%error, "the engine cannot be opened anew"),
        }
    }

    /// Looks at the engine; returns what became of it.
    pub fn look(&mut self, now: Instant) -> Vec<EngineNews> {
        let mut news: Vec<_> = self.openings.try_iter().filter_map(told).collect();
        if let Some(why) = self.shared.lost() {
            news.push(EngineNews::Lost(why.into()));
        }
        if let Some((inference, openings)) = self.replacement.take() {
            match openings.try_recv() {
                Ok(opened @ Ok(_)) => {
                    self.backoff.succeeded(now);
                    (self.shared, self.openings) = (inference.shared(), openings);
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
                EngineNews::Runs(_) => self.has_failed = false,
                EngineNews::Failed(_) | EngineNews::Lost(_) => self.has_failed = true,
                EngineNews::Replacement(_) => {}
            }
        }
        let busy = self.shared.busy_for();
        if busy > self.hang && self.replacement.is_none() && now >= self.may_open {
            tracing::error!(seconds = busy.as_secs_f64(), "the engine hangs; it is opened anew");
            self.may_open = self.backoff.failed(now);
            self.reopen();
        }
        news
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

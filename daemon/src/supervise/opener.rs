//! Opens engines of one model, as often as needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use nervelight_engines::bundle::threshold_byte;
use nervelight_engines::{BuildMonitor, BuildProgress, Bundle, EngineError, open_proven};

use crate::config::Config;
use crate::infer::{Inference, Model, Onlookers, OpenEngine, Openings, WorkSettings};

/// What every opening of every model needs.
#[derive(Clone)]
pub struct Openers {
    /// As written.
    pub config: Config,
    /// Who sees what the shown engine answers.
    pub onlookers: Onlookers,
    /// Counts the openings.
    pub openings: Arc<AtomicU64>,
}

/// Opens engines of one model.
#[derive(Clone)]
pub struct Opener {
    common: Openers,
    bundle: Arc<Bundle>,
    monitor: Arc<BuildMonitor>,
}

impl Openers {
    /// For the model in `bundle`; `monitor` shows a build and stops it.
    pub fn of(&self, bundle: Bundle, monitor: BuildMonitor) -> Opener {
        Opener { common: self.clone(), bundle: Arc::new(bundle), monitor: Arc::new(monitor) }
    }
}

impl Opener {
    /// How engines work that are shown, or that are on spare time.
    pub fn work(&self, is_spare: bool) -> WorkSettings {
        let onlookers = if is_spare { Onlookers::default() } else { self.common.onlookers.clone() };
        WorkSettings { steady: self.common.config.overlay.steady && !is_spare, onlookers, is_spare }
    }

    /// Starts an engine's thread, which reports when the engine is open.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(&self, is_spare: bool) -> Result<(Inference, Openings)> {
        Inference::start_opening(self.open(), self.work(is_spare))
    }

    /// Opens the engine and proves it on the bundle's golden frames, which also warms it up.
    pub fn open(&self) -> OpenEngine {
        let this = self.clone();
        Box::new(move || {
            let config = &this.common.config;
            let (engine, agreement) = open_proven(&this.bundle, &config.engine, &this.monitor)?;
            tracing::info!(dice = agreement.dice, "golden frames agree");
            // One byte of one frame, which sounds like a failure and is none.
            tracing::debug!(max_diff = agreement.max_diff, "largest difference of a probability x 255");
            let (manifest, overlay) = (&this.bundle.manifest, &config.overlay);
            let model = Model {
                engine: engine.info().clone(),
                threshold: threshold_byte(overlay.threshold.unwrap_or(manifest.threshold)),
                min_area: overlay.min_area.unwrap_or(manifest.min_area),
                generation: this.common.openings.fetch_add(1, Ordering::Relaxed) + 1,
            };
            Ok((engine, Arc::new(model)))
        })
    }

    /// Whether [`Self::build`] has anything to do.
    pub fn needs_build(&self) -> bool {
        self.common.config.engine.backend.is_tensorrt()
    }

    /// Builds what this machine needs to open the engine quickly, and proves it. Only TensorRT needs anything.
    ///
    /// # Errors
    /// Why there can be no engine.
    pub fn build(&self) -> Result<(), EngineError> {
        open_proven(&self.bundle, &self.common.config.engine, &self.monitor).map(drop)
    }

    /// The model's bundle.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// Stops what is being built, which nobody waits for any more.
    pub fn cancel(&self) {
        self.monitor.cancel();
    }

    /// How far a build is, while there is one.
    pub fn progress(&self) -> Option<BuildProgress> {
        self.monitor.progress()
    }
}

//! A model that runs on spare time beside the shown one, to be compared with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nervelight_engines::{Bundle, EngineError};

use super::{ModelKeeper, figures_of};
use crate::deploy::Agreement;
use crate::deploy::store::Ask;
use crate::infer::{Inference, Openings};
use crate::status::deployment::{Failure, ModelFigures, ShadowFigures};
use crate::status::shadow::ShadowReport;
use crate::supervise::engine::EngineKeeper;
use crate::supervise::opener::Opener;

/// Time between two savings of the report.
const SAVE: Duration = Duration::from_secs(60);
/// Layout of the report.
const SCHEMA: u32 = 1;
/// Crops in a row that it may fail on.
const FAILURES: u64 = 10;

/// The model.
pub struct Shadow {
    model: ModelFigures,
    shown: ModelFigures,
    /// None while the thread beside has it.
    inference: Option<Inference>,
    openings: Openings,
    is_open: bool,
    opener: Opener,
    /// How it agrees with the shown one.
    pub agreement: Agreement,
    errors: u64,
    /// What keeps it from being compared.
    trouble: Option<String>,
    since: Timestamp,
    save_due: Instant,
}

impl Shadow {
    /// In short.
    pub fn figures(&self) -> ShadowFigures {
        let round = |value: f64| (value * 1e4).round() / 1e4;
        ShadowFigures {
            model: self.model.clone(),
            frames: self.agreement.pairs,
            mean_dice: self.agreement.mean_dice().map(round),
            flips: self.agreement.flips().map(round),
        }
    }

    /// It failed on a crop.
    pub fn failed(&mut self, why: String) {
        self.errors += 1;
        self.trouble = Some(why);
    }

    fn report(&self, is_running: bool) -> ShadowReport {
        ShadowReport {
            schema: SCHEMA,
            shown: self.shown.clone(),
            shadow: self.model.clone(),
            since: self.since.to_string(),
            until: now().to_string(),
            is_running,
            trouble: self.trouble.clone(),
            errors: self.errors,
            agreement: self.agreement.figures(),
        }
    }
}

/// The time, in seconds.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

impl ModelKeeper<'_> {
    /// The bundle of the shadow is open: opens its engine.
    pub(super) fn begin_shadow(&mut self, opened: Result<Bundle, Failure>, engine: &EngineKeeper) {
        let started = opened.map_err(|failed| failed.message).and_then(|bundle| {
            let model = figures_of(&bundle);
            let opener = engine.opener(bundle);
            let started = opener.start(true).map_err(|error| format!("{error:#}"))?;
            Ok((model, opener, started))
        });
        let (model, opener, (inference, openings)) = match started {
            Ok(started) => started,
            Err(error) => return tracing::error!(%error, "the shadow cannot be opened"),
        };
        self.end_shadow("another one runs from now on");
        self.shadow = Some(Shadow {
            model,
            shown: self.shown.clone(),
            inference: Some(inference),
            openings,
            is_open: false,
            opener,
            agreement: Agreement::default(),
            errors: 0,
            trouble: None,
            since: now(),
            save_due: Instant::now() + SAVE,
        });
    }

    /// Gives the shadow's engine to the thread beside, once it is open.
    pub(super) fn run_shadow(&mut self) {
        let Some(shadow) = &mut self.shadow else { return };
        match shadow.openings.try_recv() {
            Ok(Ok(_)) => shadow.is_open = true,
            Ok(Err(error)) => {
                shadow.trouble = Some(error.to_string());
                return self.end_failed_shadow(&error);
            }
            Err(_) => {}
        }
        if !shadow.is_open {
            return;
        }
        if let Some(inference) = shadow.inference.take() {
            self.beside.run(inference);
            tracing::info!(model = %shadow.model.name, version = %shadow.model.version, "the shadow runs");
        }
    }

    fn end_failed_shadow(&mut self, error: &EngineError) {
        tracing::error!(%error, "the shadow cannot run");
        self.end_shadow("it cannot run");
    }

    /// Saves the report now and then, and ends a shadow that only fails.
    pub(super) fn look_at_shadow(&mut self, now: Instant) {
        let Some(shadow) = &mut self.shadow else { return };
        let is_hopeless = shadow.errors >= FAILURES && shadow.agreement.pairs < shadow.errors;
        let is_due = now >= shadow.save_due;
        if is_due {
            shadow.save_due = now + SAVE;
        }
        self.view.put_shadow(Arc::new(shadow.report(true)));
        if is_hopeless {
            return self.end_shadow("it fails on most frames");
        }
        if is_due && let Some(shadow) = &self.shadow {
            self.save(shadow, true);
        }
    }

    /// Brings the report to the disk, and to those who read it.
    pub(super) fn save(&self, shadow: &Shadow, is_running: bool) {
        let report = Arc::new(shadow.report(is_running));
        self.view.put_shadow(report.clone());
        self.events.send("shadow", &shadow.figures());
        self.ask(Ask::Save(report));
    }

    /// No shadow runs any more.
    pub(super) fn end_shadow(&mut self, why: &str) {
        let Some(mut shadow) = self.shadow.take() else { return };
        tracing::info!(model = %shadow.model.name, frames = shadow.agreement.pairs, why, "the shadow ends");
        shadow.opener.cancel();
        match shadow.inference.take() {
            Some(inference) => self.reaper.take(inference),
            None => self.beside.halt(),
        }
        self.save(&shadow, false);
    }
}

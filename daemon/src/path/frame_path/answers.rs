//! What the engine answers, and what becomes of it when another engine takes its place.

use std::time::Duration;

use super::FramePath;
use crate::config::SyncMode;
use crate::frame::SignalState;
use crate::infer::{Inference, Job, Model};
use crate::path::change::Retired;

impl FramePath {
    /// Whether the frame is a moving picture of the scanner's that the model sees.
    pub(super) fn shows_scan(&self) -> bool {
        let has_crop = self.layout.as_ref().is_some_and(|layout| layout.crop.is_ok());
        has_crop && self.signal.state() == SignalState::Ok
    }

    /// Asks `inference` from now on. The mask on the screen stays until it is too old or this engine has answered; what
    /// the engine before it is computing counts until then, too.
    pub(super) fn change_model(&mut self, mut inference: Inference) {
        // Where it was asked before, nobody waited for the answers.
        inference.forget();
        self.read_answers();
        if let Some(leaving) = self.leaving.take() {
            self.retire(Retired::Model(leaving));
        }
        let old = std::mem::replace(&mut self.inference, inference);
        self.failing = false;
        self.leaving = Some(old);
        self.let_leave();
    }

    /// Retires the engine before the present one, once nothing can come of it any more.
    pub(super) fn let_leave(&mut self) {
        let is_exact = self.settings.mode == SyncMode::Exact;
        let timeout = self.settings.engine_timeout;
        let is_over = |engine: &mut Inference| is_exact || engine.is_idle() || engine.busy_for() > timeout;
        if let Some(leaving) = self.leaving.take_if(is_over) {
            self.retire(Retired::Model(leaving));
        }
    }

    /// Takes in what the engine answered in the meantime.
    pub(super) fn read_answers(&mut self) {
        while let Some(job) = self.leaving.as_mut().and_then(|leaving| leaving.answer(Duration::ZERO)) {
            match &job.outcome {
                Ok(_) => self.read(&job, self.is_usable(&job)),
                // What fails is gone.
                Err(_) => self.tally.engine_error(),
            }
            if let Some(leaving) = &mut self.leaving {
                leaving.recycle(job);
            }
        }
        self.let_leave();
        while let Some(job) = self.inference.answer(Duration::ZERO) {
            if let Some(leaving) = self.leaving.take() {
                self.retire(Retired::Model(leaving));
            }
            self.read(&job, self.is_usable(&job));
            self.inference.recycle(job);
        }
    }

    /// In `exact` mode an answer that nobody waited for is too late for its frame.
    fn is_usable(&self, job: &Job) -> bool {
        let is_newer = self.mask_of.as_ref().is_none_or(|(of, _)| job.arrived >= *of);
        self.settings.mode == SyncMode::Latest && job.number >= self.first_of_layout && is_newer
    }

    pub(super) fn read(&mut self, job: &Job, usable: bool) {
        match &job.outcome {
            Ok(computed) => {
                self.tally.engine(computed.took);
                if self.failing {
                    tracing::info!("the engine answers again");
                }
                self.failing = false;
                if usable {
                    let Model { threshold, min_area, .. } = *computed.model;
                    self.mask.update(&job.map, threshold, min_area);
                    self.mask_of = Some((job.arrived, computed.model.clone()));
                }
            }
            Err(error) => {
                self.tally.engine_error();
                if !self.failing {
                    tracing::error!(%error, frame = job.number, "the engine failed; the video goes on without overlay");
                }
                self.failing = true;
            }
        }
    }
}

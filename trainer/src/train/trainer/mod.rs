//! The training loop.

mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, bail};
use tch::{Device, Tensor};

use super::adam::Adam;
use super::curves;
use super::distillation::Distillation;
use super::ema::Ema;
use super::history::Validation;
use super::run::RunDir;
use super::schedule::Schedule;
use super::settings::Settings;
use super::state::State;
use super::watch::{Options, Watch};
use crate::data::{Augment, Augmentation, Batch, Dataset, Frame, batch, order};
use crate::metrics::{SoftMetrics, Sums};
use crate::net::{Module, Parameters};
use crate::weights::Checkpoint;

/// Steps whose batches are made ahead, so that neither side waits for the other.
const AHEAD: usize = 2;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// All epochs were done before.
    AlreadyFinished,
    /// The validation loss has not fallen for `stop_after` epochs.
    Stopped,
    /// Stopped in between; the checkpoint continues there.
    Interrupted,
}

/// A run in progress.
struct Trainer<'a> {
    settings: &'a Settings,
    size: (usize, usize),
    train: Vec<&'a Frame>,
    validation: Vec<&'a Frame>,
    schedule: Schedule,
    device: Device,
    module: Module,
    adam: Adam,
    ema: Option<Ema>,
    distillation: Option<Distillation>,
    state: State,
    run: RunDir,
    watch: Watch,
}

/// Trains on `data` as `settings` say, or goes on where the run's last checkpoint stopped. Ends
/// after the step under way when `stop` turns true. `watch` says who looks on.
pub fn train(
    settings: &Settings,
    data: &Dataset,
    resume: bool,
    watch: Options,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome> {
    let mut trainer = Trainer::new(settings, data, resume)?;
    if trainer.state.epoch >= settings.epochs {
        return Ok(Outcome::AlreadyFinished);
    }
    trainer.run.set_epochs(settings.epochs)?;
    trainer.watch.start(watch, &settings.run.join("events"), trainer.state.step + 1, stop);
    for epoch in trainer.state.epoch..settings.epochs {
        if trainer.is_stale() {
            return Ok(Outcome::Stopped);
        }
        if trainer.epoch(epoch, stop)? == Outcome::Interrupted {
            trainer.save_last()?;
            return Ok(Outcome::Interrupted);
        }
        let row = trainer.validate(None)?;
        trainer.watch.say(&format!(
            "epoch {}: validation loss {:.4}, Dice {:.4}, IoU {:.4}, rate {:.1e}",
            epoch + 1,
            row.loss,
            row.figures[1],
            row.figures[0],
            row.rate
        ));
        trainer.end_epoch(row)?;
    }
    Ok(Outcome::Finished)
}

impl Trainer<'_> {
    /// What is left of `epoch`, with a validation every `validate_every` steps.
    fn epoch(&mut self, epoch: usize, stop: &AtomicBool) -> Result<Outcome> {
        let Settings { seed, batch_size, accumulate, sampler, .. } = *self.settings;
        let frames = order(&self.train, sampler, seed, epoch);
        let vary = Augmentation { level: self.settings.augment, seed, epoch };
        let vary = (vary.level != Augment::None).then_some(vary);
        let (size, device, first) = (self.size, self.device, self.state.done);
        let step_size = batch_size * accumulate;
        self.watch.begin_epoch(epoch, first * step_size, frames.len());
        let (send, made) = sync_channel(AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for frames in frames.chunks(step_size).skip(first) {
                    let batches: Vec<Batch> =
                        frames.chunks(batch_size).map(|frames| batch(frames, size, vary, device)).collect();
                    // Nobody listens once training has ended.
                    if send.send((batches, frames.len())).is_err() {
                        break;
                    }
                }
            });
            for (index, (batches, frames)) in (first..).zip(made) {
                let rate = self.rate();
                let loss = self.step(&batches, epoch, index, rate)?;
                self.watch.step(self.state.step, loss, rate, frames);
                if index % self.settings.validate_every == 0 {
                    let row = self.validate(Some(self.settings.validation_limit))?;
                    self.state.plateau.step(row.loss);
                    self.record(row)?;
                }
                self.state.done = index + 1;
                if stop.load(Ordering::Relaxed) {
                    return Ok(Outcome::Interrupted);
                }
                let every = self.settings.save_every;
                if every > 0 && self.state.step % every as i64 == 0 {
                    self.save_last()?;
                }
            }
            self.watch.end_epoch();
            Ok(Outcome::Finished)
        })
    }

    /// Forward and backward over each batch, then Adam. Returns the mean loss before.
    fn step(&mut self, batches: &[Batch], epoch: usize, index: usize, rate: f64) -> Result<f64> {
        let mut sum = 0.0;
        for batch in batches {
            let loss = self.loss(&self.module.train_logits(&batch.crops), batch);
            let value = loss.double_value(&[]);
            if !value.is_finite() {
                bail!(
                    "the loss is {value} in epoch {}, batch {}; the last good checkpoint stays in {}. \
                     Lower learning_rate (now {rate:e}) and start anew or from it",
                    epoch + 1,
                    index + 1,
                    self.run.root().display(),
                );
            }
            sum += value;
            (loss / batches.len() as f64).backward();
        }
        self.adam.step(&mut self.module.parameters, rate);
        self.state.step += 1;
        if let Some(ema) = &mut self.ema {
            ema.step(&self.module.parameters, self.state.step);
        }
        let mean = sum / batches.len() as f64;
        self.state.losses.push(mean);
        Ok(mean)
    }

    fn loss(&self, logits: &Tensor, batch: &Batch) -> Tensor {
        let truth = self.settings.loss().of(logits, &batch.truth);
        match &self.distillation {
            Some(distillation) => distillation.loss(&truth, logits, &batch.crops),
            None => truth,
        }
    }

    /// Learning rate of the next step.
    fn rate(&self) -> f64 {
        self.schedule.rate(self.state.step, &self.state.plateau)
    }

    /// Whether the validation loss has not fallen for long enough.
    fn is_stale(&self) -> bool {
        self.settings.stop_after > 0 && self.state.since_best >= self.settings.stop_after
    }

    /// Loss and figures of what the run would hand out now, the averages if it keeps some: over all
    /// validation frames, or over the first `limit` (0 = all). Each is the mean over batches.
    fn validate(&mut self, limit: Option<usize>) -> Result<Validation> {
        if let Some(ema) = &mut self.ema {
            ema.swap(&mut self.module);
        }
        let all = self.validation.len();
        let count = limit.filter(|limit| *limit > 0).unwrap_or(all).min(all);
        let (mut loss, mut figures) = (0.0, Vec::new());
        for frames in self.validation[..count].chunks(self.settings.batch_size) {
            let batch = batch(frames, self.size, None, self.device);
            let logits = tch::no_grad(|| self.module.logits(&batch.crops));
            loss += self.settings.loss().of(&logits, &batch.truth).double_value(&[]);
            let probability = logits.sigmoid();
            if limit.is_none() && figures.is_empty() {
                self.watch.found(frames, &probability, self.size.1);
            }
            figures.push(Sums::of(&batch.truth, &probability).figures());
        }
        if let Some(ema) = &mut self.ema {
            ema.swap(&mut self.module);
        }
        let losses = &self.state.losses;
        Ok(Validation {
            epoch: self.state.epoch,
            step: self.state.step,
            full: limit.is_none(),
            rate: self.schedule.rate(self.state.step - 1, &self.state.plateau),
            train_loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
            loss: loss / figures.len().max(1) as f64,
            figures: SoftMetrics::mean(&figures).values(),
        })
    }

    fn record(&mut self, row: Validation) -> Result<()> {
        self.watch.validated(&row);
        self.state.losses.clear();
        self.state.history.push(row);
        self.run.write_metrics(&self.state.history)
    }

    fn end_epoch(&mut self, row: Validation) -> Result<()> {
        let better = self.state.best.is_none_or(|best| row.loss < best);
        if better {
            self.state.best = Some(row.loss);
        }
        self.state.since_best = if better { 0 } else { self.state.since_best + 1 };
        self.record(row)?;
        self.state.epoch += 1;
        self.state.done = 0;
        if let Err(error) = curves::draw(&self.run, &self.state.history) {
            self.watch.say(&format!("warning: no curves: {error:#}"));
        }
        // First, since a run that is killed in between repeats its last steps and this with them.
        if better {
            let tensors = detached(self.ema.as_ref().map_or(&self.module.parameters, Ema::parameters));
            self.run.save(&self.run.best(), Checkpoint { tensors, ..Default::default() }, &self.state)?;
        }
        self.save_last()
    }

    fn save_last(&self) -> Result<()> {
        let mut tensors = detached(&self.module.parameters);
        self.adam.save(&mut tensors);
        if let Some(ema) = &self.ema {
            ema.save(&mut tensors);
        }
        let last = self.run.last();
        let saved = self.run.save(&last, Checkpoint { tensors, ..Default::default() }, &self.state);
        saved.with_context(|| {
            let then = if last.exists() { "resume from the one before" } else { "start anew" };
            format!("the checkpoint is lost; free some space and {then}")
        })
    }
}

fn detached(parameters: &Parameters) -> Parameters {
    parameters.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
}

#[cfg(test)]
mod tests;

//! The training loop.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use tch::Device;

use crate::adam::Adam;
use crate::checkpoint::Checkpoint;
use crate::curves;
use crate::data::{Batch, Dataset, Frame, Split, batch};
use crate::init;
use crate::metrics::{Figures, Sums};
use crate::module::{Module, Parameters};
use crate::network::FROZEN_CONVOLUTIONS;
use crate::plateau::Plateau;
use crate::progress::Progress;
use crate::resume;
use crate::rng::Rng;
use crate::run::{Row, RunDir, State};
use crate::settings::Settings;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// All epochs were done before.
    AlreadyFinished,
    /// Stopped in between; the checkpoint continues there.
    Interrupted,
}

/// A run in progress.
struct Trainer<'a> {
    settings: &'a Settings,
    size: (usize, usize),
    train: Vec<&'a Frame>,
    validation: Vec<&'a Frame>,
    device: Device,
    module: Module,
    adam: Adam,
    state: State,
    run: RunDir,
}

/// Trains on `data` as `settings` say, or goes on where the run's last checkpoint stopped. Ends
/// after the batch under way when `stop` turns true.
pub fn train(settings: &Settings, data: &Dataset, resume: bool, stop: &AtomicBool) -> Result<Outcome> {
    let mut trainer = Trainer::new(settings, data, resume)?;
    if trainer.state.epoch >= settings.epochs {
        return Ok(Outcome::AlreadyFinished);
    }
    trainer.run.set_epochs(settings.epochs)?;
    for epoch in trainer.state.epoch..settings.epochs {
        if trainer.epoch(epoch, stop)? == Outcome::Interrupted {
            trainer.save_last()?;
            return Ok(Outcome::Interrupted);
        }
        let row = trainer.validate(&trainer.validation, true)?;
        eprintln!(
            "epoch {}: validation loss {:.4}, Dice {:.4}, IoU {:.4}, rate {:.1e}",
            epoch + 1,
            row.loss,
            row.figures[1],
            row.figures[0],
            trainer.state.plateau.rate
        );
        trainer.end_epoch(row)?;
    }
    Ok(Outcome::Finished)
}

impl<'a> Trainer<'a> {
    fn new(settings: &'a Settings, data: &'a Dataset, resume: bool) -> Result<Self> {
        tch::manual_seed(settings.seed as i64);
        if settings.threads > 0 {
            tch::set_num_threads(settings.threads as i32);
        }
        let device = settings.device()?;
        let network = settings.network()?;
        let (run, split) = if resume {
            let (run, stored, split) = RunDir::open(&settings.run)?;
            resume::check(&stored, settings)?;
            (run, split)
        } else {
            let Settings { split: by, validation_part, positives_only, seed, .. } = *settings;
            let split = Split::draw(data, by, validation_part, positives_only, seed)?;
            (RunDir::create(&settings.run, settings, &split)?, split)
        };
        if split.data != data.digest {
            bail!("{}: these are not the run's frames; start a new run", settings.data.display());
        }
        let (train, mut validation) = split.frames(data)?;
        // As the published project does; it also makes a limited validation a fair sample.
        Rng::new(&[settings.seed, 0x7a11]).shuffle(&mut validation);

        let (parameters, frozen, state, moments) = if resume {
            let (checkpoint, state) = RunDir::load(&run.last())?;
            let (moments, parameters): (Parameters, Parameters) =
                checkpoint.tensors.into_iter().partition(|(name, _)| name.starts_with("adam."));
            // What was frozen has no moments.
            let trains = moments.contains_key("adam.mean.conv1_1.weight");
            (parameters, if trains { 0 } else { FROZEN_CONVOLUTIONS }, state, Some(moments))
        } else {
            let start = match &settings.init {
                Some(path) => init::from_file(&network, path)?,
                None => init::random(&network),
            };
            let plateau =
                Plateau::new(settings.learning_rate, settings.plateau_factor, settings.plateau_patience);
            (start.parameters, start.frozen, State::new(plateau), None)
        };
        let module = Module::new(network, parameters, frozen, settings.precision, device);
        let mut adam = Adam::new(&module.parameters);
        if let Some(moments) = moments {
            let load = adam.load(&moments, state.step);
            load.map_err(|name| anyhow::anyhow!("{}: lacks `{name}`", run.last().display()))?;
        }
        let size = (data.height, data.width);
        Ok(Self { settings, size, train, validation, device, module, adam, state, run })
    }

    /// What is left of `epoch`, with a validation every `validate_every` batches.
    fn epoch(&mut self, epoch: usize, stop: &AtomicBool) -> Result<Outcome> {
        let Settings { seed, batch_size, epochs, .. } = *self.settings;
        let mut frames = self.train.clone();
        Rng::new(&[seed, 0x0de5, epoch as u64]).shuffle(&mut frames);
        let limit = match self.settings.validation_limit {
            0 => self.validation.len(),
            limit => limit.min(self.validation.len()),
        };
        let sample = self.validation[..limit].to_vec();
        let done = self.state.batch * batch_size;
        let mut progress = Progress::new(format!("epoch {}/{epochs}", epoch + 1), done, frames.len());
        for (index, frames) in frames.chunks(batch_size).enumerate().skip(self.state.batch) {
            let loss = self.step(&self.batch(frames, Some(epoch)), epoch, index)?;
            progress.say(format!("loss {loss:.4}"));
            progress.advance(frames.len());
            if index % self.settings.validate_every == 0 {
                let row = self.validate(&sample, false)?;
                self.state.plateau.step(row.loss);
                self.record(row)?;
            }
            self.state.batch = index + 1;
            if stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Interrupted);
            }
        }
        progress.finish();
        Ok(Outcome::Finished)
    }

    /// One batch: forward, backward, Adam. Returns the loss before.
    fn step(&mut self, batch: &Batch, epoch: usize, index: usize) -> Result<f64> {
        let loss = self.settings.loss().of(&self.module.logits(&batch.crops), &batch.truth);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            bail!(
                "the loss is {value} in epoch {}, batch {}; the last good checkpoint stays in {}. \
                 Lower learning_rate (now {:e}) and start anew or from it",
                epoch + 1,
                index + 1,
                self.run.root().display(),
                self.state.plateau.rate
            );
        }
        self.adam.backward_step(&mut self.module.parameters, &loss, self.state.plateau.rate);
        self.state.step += 1;
        self.state.losses.push(value);
        Ok(value)
    }

    /// Loss and figures over `frames`, each the mean over batches.
    fn validate(&self, frames: &[&Frame], full: bool) -> Result<Row> {
        let (mut loss, mut figures) = (0.0, Vec::new());
        let loss_of = self.settings.loss();
        for frames in frames.chunks(self.settings.batch_size) {
            let Batch { crops, truth } = self.batch(frames, None);
            let logits = tch::no_grad(|| self.module.logits(&crops));
            loss += loss_of.of(&logits, &truth).double_value(&[]);
            figures.push(Sums::of(&truth, &logits.sigmoid()).figures());
        }
        let losses = &self.state.losses;
        Ok(Row {
            epoch: self.state.epoch,
            step: self.state.step,
            full,
            rate: self.state.plateau.rate,
            train_loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
            loss: loss / figures.len().max(1) as f64,
            figures: Figures::mean(&figures).values(),
        })
    }

    fn record(&mut self, row: Row) -> Result<()> {
        self.state.losses.clear();
        self.state.history.push(row);
        self.run.write_metrics(&self.state.history)
    }

    fn end_epoch(&mut self, row: Row) -> Result<()> {
        let better = self.state.best.is_none_or(|best| row.loss < best);
        if better {
            self.state.best = Some(row.loss);
        }
        self.record(row)?;
        self.state.epoch += 1;
        self.state.batch = 0;
        if let Err(error) = curves::draw(&self.run, &self.state.history) {
            eprintln!("warning: no curves: {error:#}");
        }
        self.save_last()?;
        if better {
            let checkpoint = Checkpoint { tensors: self.parameters(), ..Default::default() };
            self.run.save(&self.run.best(), checkpoint, &self.state)?;
        }
        Ok(())
    }

    fn save_last(&self) -> Result<()> {
        let mut tensors = self.parameters();
        self.adam.save(&mut tensors);
        let last = self.run.last();
        let saved = self.run.save(&last, Checkpoint { tensors, ..Default::default() }, &self.state);
        saved.with_context(|| {
            let then = if last.exists() { "resume from the one before" } else { "start anew" };
            format!("the checkpoint is lost; free some space and {then}")
        })
    }

    fn parameters(&self) -> Parameters {
        let parameters = self.module.parameters.iter();
        parameters.map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
    }

    /// `frames` on the device; varied for `epoch` where the settings say so.
    fn batch(&self, frames: &[&Frame], epoch: Option<usize>) -> Batch {
        let seed = self.settings.seed;
        let epoch = epoch.filter(|_| self.settings.augment);
        let vary = epoch.map(|epoch| {
            move |frame: &Frame| {
                let name =
                    frame.name.bytes().fold(0u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
                Rng::new(&[seed, 0xa06, epoch as u64, name])
            }
        });
        batch(frames, self.size, vary.as_ref().map(|v| v as _), self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::LossKind;
    use std::path::Path;

    /// Bright squares on dark noise, sometimes none: 32x64 pixels, learnable in seconds.
    fn squares() -> Dataset {
        let (height, width) = (32, 64);
        let frames = (0..40u32).map(|i| {
            let mut rng = Rng::new(&[u64::from(i)]);
            let mut luma: Vec<u8> = (0..height * width).map(|_| rng.below(80) as u8).collect();
            let mut nerve = vec![0; height * width];
            let (top, left) = (rng.below(16), rng.below(48));
            for (y, x) in (0..16).flat_map(|y| (0..16).map(move |x| (y, x))) {
                if i % 4 != 0 {
                    let at = (top + y) * width + left + x;
                    luma[at] += 150;
                    nerve[at] = 1;
                }
            }
            let patient = i / 5;
            Frame { name: format!("{patient}_{i}"), patient, luma: luma.into(), nerve: nerve.into() }
        });
        Dataset { frames: frames.collect(), height, width, digest: "squares".into() }
    }

    fn settings(run: &Path) -> Settings {
        Settings {
            data: "squares".into(),
            run: run.into(),
            width: 0.0625,
            threads: 1,
            epochs: 2,
            batch_size: 4,
            learning_rate: 2e-3,
            loss: LossKind::BceDice,
            augment: true,
            validate_every: 5,
            validation_limit: 3,
            ..Default::default()
        }
    }

    fn go(settings: &Settings, resume: bool, stop: bool) -> Result<Outcome> {
        train(settings, &squares(), resume, &AtomicBool::new(stop))
    }

    #[test]
    fn resumed_run_equals_an_uninterrupted_one() {
        let directory = tempfile::tempdir().unwrap();
        let straight = settings(&directory.path().join("straight"));
        assert_eq!(go(&straight, false, false).unwrap(), Outcome::Finished);
        let broken = settings(&directory.path().join("broken"));
        // Stopped after one batch, then after the next, then left alone.
        assert_eq!(go(&broken, false, true).unwrap(), Outcome::Interrupted);
        assert_eq!(go(&broken, true, true).unwrap(), Outcome::Interrupted);
        assert_eq!(go(&broken, true, false).unwrap(), Outcome::Finished);

        let last = |s: &Settings| RunDir::load(&s.run.join("checkpoints/last.safetensors")).unwrap();
        let (straight_end, broken_end) = (last(&straight), last(&broken));
        assert_eq!(straight_end.1, broken_end.1);
        assert_eq!(straight_end.0.tensors.len(), broken_end.0.tensors.len());
        for (name, tensor) in &straight_end.0.tensors {
            assert_eq!(*tensor, broken_end.0.tensors[name], "{name}");
        }
        let metrics = |s: &Settings| std::fs::read_to_string(s.run.join("metrics.csv")).unwrap();
        assert_eq!(metrics(&straight), metrics(&broken));
        // 32 training frames: batches 0 and 5 of each epoch and its end, under a line of names.
        assert_eq!(metrics(&straight).lines().count(), 1 + 2 * 3);
        for file in ["curves/loss.png", "curves/overlap.svg", "checkpoints/best.safetensors", "split.json"] {
            assert!(straight.run.join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn learns_squares() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { epochs: 12, augment: false, ..settings(&directory.path().join("run")) };
        go(&settings, false, false).unwrap();
        let history = RunDir::load(&settings.run.join("checkpoints/last.safetensors")).unwrap().1.history;
        let full: Vec<f64> = history.iter().filter(|r| r.full).map(|r| r.loss).collect();
        assert!(full[full.len() - 1] < 0.6 * full[0], "{full:?}");
    }

    #[test]
    fn an_existing_run_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory.path().join("run"));
        go(&settings, false, true).unwrap();
        let error = go(&settings, false, true).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
    }

    #[test]
    fn a_resumed_run_keeps_its_settings_but_for_more_epochs() {
        let directory = tempfile::tempdir().unwrap();
        let first = Settings { epochs: 1, ..settings(&directory.path().join("run")) };
        assert_eq!(go(&first, false, false).unwrap(), Outcome::Finished);
        assert_eq!(go(&first, true, false).unwrap(), Outcome::AlreadyFinished);
        let other = Settings { batch_size: 8, epochs: 2, ..first.clone() };
        let error = go(&other, true, false).unwrap_err().to_string();
        assert!(error.contains("batch_size"), "{error}");
        let stored = || RunDir::open(&first.run).unwrap().1;
        assert_eq!(stored(), first);
        let more = Settings { epochs: 2, ..first.clone() };
        assert_eq!(go(&more, true, true).unwrap(), Outcome::Interrupted);
        assert_eq!(stored(), more);
    }

    #[test]
    fn a_full_disk_names_an_earlier_checkpoint_only_if_there_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory.path().join("run"));
        let checkpoints = settings.run.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).unwrap();
        let fill = || {
            std::os::unix::fs::symlink("/dev/full", checkpoints.join("last.safetensors.tmp")).unwrap();
        };
        fill();
        let error = go(&settings, false, true).unwrap_err().to_string();
        assert!(error.contains("start anew") && !error.contains("resume"), "{error}");
        go(&settings, false, true).unwrap();
        fill();
        let error = go(&settings, true, true).unwrap_err().to_string();
        assert!(error.contains("resume from the one before"), "{error}");
    }

    #[test]
    fn a_loss_that_is_no_number_stops_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            Settings { learning_rate: 0.99, epochs: 30, ..settings(&directory.path().join("run")) };
        let mut data = squares();
        data.frames.iter_mut().for_each(|f| f.luma.fill(255));
        let network = settings.network().unwrap();
        let mut parameters = init::random(&network).parameters;
        parameters.insert("conv1_1.bias".into(), tch::Tensor::full([4], f64::NAN, tch::kind::FLOAT_CPU));
        let weights = directory.path().join("nan.safetensors");
        crate::checkpoint::write(&weights, &Checkpoint { tensors: parameters, ..Default::default() })
            .unwrap();
        let settings = Settings { init: Some(weights), ..settings };
        let error = train(&settings, &data, false, &AtomicBool::new(false)).unwrap_err().to_string();
        assert!(error.contains("epoch 1, batch 1") && error.contains("learning_rate"), "{error}");
    }
}

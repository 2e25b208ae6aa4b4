//! The training loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, anyhow, bail};
use tch::{Device, Tensor};

use crate::adam::Adam;
use crate::average::Average;
use crate::checkpoint::Checkpoint;
use crate::curves;
use crate::data::{Augment, Batch, Dataset, Frame, Vary, batch, order};
use crate::folds;
use crate::init::{self, Start};
use crate::metrics::{Figures, Sums};
use crate::module::{Module, Parameters};
use crate::network::FROZEN_CONVOLUTIONS;
use crate::quantize::choose;
use crate::resume;
use crate::rng::Rng;
use crate::run::{Row, RunDir, State};
use crate::schedule::{Plateau, Schedule};
use crate::settings::Settings;
use crate::teacher::Teacher;
use crate::watch::{Options, Watch};

/// Steps whose batches are made ahead, so that neither side waits for the other.
const AHEAD: usize = 2;

/// Frames by which batch normalisation is set behind weights that came without.
const SEEN: usize = 24;

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
    average: Option<Average>,
    teacher: Option<Teacher>,
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

impl<'a> Trainer<'a> {
    fn new(settings: &'a Settings, data: &'a Dataset, resume: bool) -> Result<Self> {
        tch::manual_seed(settings.seed as i64);
        if settings.threads > 0 {
            tch::set_num_threads(settings.threads as i32);
        }
        let device = settings.device()?;
        let network = settings.network()?;
        // A run that was killed before its first checkpoint has nothing to lose.
        let resume = resume && RunDir::has_begun(&settings.run);
        let (run, split) = if resume {
            let (run, stored, split) = RunDir::open(&settings.run)?;
            resume::check(&stored, settings)?;
            run.check_corrections(data)?;
            run.sweep()?;
            (run, split)
        } else {
            let split = settings.split(data)?;
            let run = RunDir::create(&settings.run, settings, &split)?;
            run.keep_corrections(data)?;
            (run, split)
        };
        if split.data != data.digest {
            bail!("{}: these are not the run's frames; start a new run", settings.data.display());
        }
        if let Some(warning) = folds::warning(&split, data)? {
            errln!("{warning}");
        }
        let (train, mut validation) = split.frames(data)?;
        if !train.iter().any(|frame| frame.has_nerve()) {
            bail!(
                "{}: no training frame has a nerve (mask pixels from 128 up), so there is nothing to \
                 learn; are these the right masks? `nervelight-train analyze report` shows them",
                settings.data.display()
            );
        }
        let size = (data.height, data.width);
        // As the published project does; it also makes a limited validation a fair sample.
        Rng::new(&[settings.seed, 0x7a11]).shuffle(&mut validation);
        let schedule = Schedule {
            kind: settings.schedule,
            rate: settings.learning_rate,
            warmup: settings.warmup as i64,
            steps: (settings.epochs * train.len().div_ceil(settings.batch_size * settings.accumulate)) as i64,
        };

        let (start, state, saved) = if resume {
            let (checkpoint, state) = RunDir::load(&run.last())?;
            let saved = checkpoint.tensors;
            let own = |name: &str| !name.starts_with("adam.") && !name.starts_with("average.");
            let parameters = saved.iter().filter(|(name, _)| own(name));
            let parameters = parameters.map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
            // What was frozen has no moments.
            let trains = saved.contains_key("adam.mean.conv1_1.weight");
            let frozen = if trains { 0 } else { FROZEN_CONVOLUTIONS };
            (Start { parameters: parameters.collect(), frozen, unnormalised: vec![] }, state, Some(saved))
        } else {
            let start = match &settings.init {
                Some(path) => init::from_file(&network, path)?,
                None => init::random(&network),
            };
            let plateau =
                Plateau::new(settings.learning_rate, settings.plateau_factor, settings.plateau_patience);
            (start, State::new(plateau), None)
        };
        let mut module = Module::new(network, start.parameters, start.frozen, settings.precision, device);
        if !start.unnormalised.is_empty() {
            let frames = choose(&train, SEEN);
            let crops = frames.iter().map(|frame| batch(&[*frame], size, None, device).crops);
            module.unnormalise(&start.unnormalised, crops);
        }
        let mut adam = Adam::new(&module.parameters);
        let mut average =
            (settings.average > 0.0).then(|| Average::new(settings.average, &module.parameters));
        if let Some(saved) = saved {
            let loaded = adam.load(&saved, state.step).and_then(|()| match &mut average {
                Some(average) => average.load(&saved),
                None => Ok(()),
            });
            loaded.map_err(|name| anyhow!("{}: lacks `{name}`", run.last().display()))?;
        }
        let teacher = Teacher::of(settings, &run, resume, device)?;
        let watch = Watch::new(settings, &state.history);
        Ok(Self {
            settings,
            size,
            train,
            validation,
            schedule,
            device,
            module,
            adam,
            average,
            teacher,
            state,
            run,
            watch,
        })
    }

    /// What is left of `epoch`, with a validation every `validate_every` steps.
    fn epoch(&mut self, epoch: usize, stop: &AtomicBool) -> Result<Outcome> {
        let Settings { seed, batch_size, accumulate, sampler, .. } = *self.settings;
        let frames = order(&self.train, sampler, seed, epoch);
        let vary = Vary { level: self.settings.augment, seed, epoch };
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
        if let Some(average) = &mut self.average {
            average.step(&self.module.parameters, self.state.step);
        }
        let mean = sum / batches.len() as f64;
        self.state.losses.push(mean);
        Ok(mean)
    }

    fn loss(&self, logits: &Tensor, batch: &Batch) -> Tensor {
        let truth = self.settings.loss().of(logits, &batch.truth);
        match &self.teacher {
            Some(teacher) => teacher.join(&truth, logits, &batch.crops),
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
    fn validate(&mut self, limit: Option<usize>) -> Result<Row> {
        if let Some(average) = &mut self.average {
            average.swap(&mut self.module);
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
        if let Some(average) = &mut self.average {
            average.swap(&mut self.module);
        }
        let losses = &self.state.losses;
        Ok(Row {
            epoch: self.state.epoch,
            step: self.state.step,
            full: limit.is_none(),
            rate: self.schedule.rate(self.state.step - 1, &self.state.plateau),
            train_loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
            loss: loss / figures.len().max(1) as f64,
            figures: Figures::mean(&figures).values(),
        })
    }

    fn record(&mut self, row: Row) -> Result<()> {
        self.watch.validated(&row);
        self.state.losses.clear();
        self.state.history.push(row);
        self.run.write_metrics(&self.state.history)
    }

    fn end_epoch(&mut self, row: Row) -> Result<()> {
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
            let tensors =
                detached(self.average.as_ref().map_or(&self.module.parameters, Average::parameters));
            self.run.save(&self.run.best(), Checkpoint { tensors, ..Default::default() }, &self.state)?;
        }
        self.save_last()
    }

    fn save_last(&self) -> Result<()> {
        let mut tensors = detached(&self.module.parameters);
        self.adam.save(&mut tensors);
        if let Some(average) = &self.average {
            average.save(&mut tensors);
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
mod tests {
    use super::*;
    use crate::full_disk::on_full_disk;
    use crate::loss::LossKind;
    use crate::module::Precision;
    use crate::schedule::Kind;
    use crate::watch::tests_series as series;
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
        Dataset { frames: frames.collect(), height, width, digest: "squares".into(), corrections: None }
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
            augment: Augment::Full,
            precision: Precision::Fp32,
            schedule: Kind::Plateau,
            average: 0.9,
            warmup: 3,
            validate_every: 5,
            validation_limit: 3,
            ..Default::default()
        }
    }

    fn go(settings: &Settings, resume: bool, stop: bool) -> Result<Outcome> {
        train(settings, &squares(), resume, Options::default(), &Arc::new(AtomicBool::new(stop)))
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
        let steps: Vec<i64> = (1..=16).collect();
        for tag in ["training/loss", "training/learning_rate", "validation/dice", "validation_part/loss"] {
            let series = |s: &Settings| series(&s.run.join("events"), tag);
            assert_eq!(series(&straight), series(&broken), "{tag}");
            let found: Vec<i64> = series(&straight).iter().map(|(step, _)| *step).collect();
            let expected = match tag {
                "validation/dice" => &[8, 16][..],
                "validation_part/loss" => &[1, 6, 9, 14][..],
                _ => &steps,
            };
            assert_eq!(found, expected, "{tag}");
        }
        // 32 training frames: batches 0 and 5 of each epoch and its end, under a line of names.
        assert_eq!(metrics(&straight).lines().count(), 1 + 2 * 3);
        for file in ["curves/loss.png", "curves/overlap.svg", "checkpoints/best.safetensors", "split.json"] {
            assert!(straight.run.join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn a_unet_with_a_teacher_resumes_to_the_bit() {
        let directory = tempfile::tempdir().unwrap();
        let wide = Settings { epochs: 1, width: 0.125, ..settings(&directory.path().join("wide")) };
        go(&wide, false, false).unwrap();
        let student = |name: &str| Settings {
            network: "vgg16-unet".into(),
            teacher: Some(wide.run.clone()),
            epochs: 1,
            ..settings(&directory.path().join(name))
        };
        let (straight, broken) = (student("straight"), student("broken"));
        assert_eq!(go(&straight, false, false).unwrap(), Outcome::Finished);
        assert_eq!(go(&broken, false, true).unwrap(), Outcome::Interrupted);
        assert_eq!(go(&broken, true, false).unwrap(), Outcome::Finished);
        let tensors =
            |s: &Settings| RunDir::load(&s.run.join("checkpoints/last.safetensors")).unwrap().0.tensors;
        let (straight, broken) = (tensors(&straight), tensors(&broken));
        assert!(straight["conv1_1.bn.running_mean"].abs().max().double_value(&[]) > 0.0);
        assert!(!straight.contains_key("adam.mean.conv1_1.bn.running_mean"));
        assert_eq!(straight.len(), broken.len());
        assert!(straight.iter().all(|(name, tensor)| *tensor == broken[name]));
    }

    #[test]
    fn learns_squares() {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            Settings { epochs: 12, augment: Augment::None, ..settings(&directory.path().join("run")) };
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
        // Enough for the settings, not for a checkpoint.
        const ROOM: u64 = 16 << 10;
        let error = on_full_disk(ROOM, || go(&settings, false, true)).unwrap_err().to_string();
        assert!(error.contains("start anew") && !error.contains("resume"), "{error}");
        go(&settings, false, true).unwrap();
        let error = on_full_disk(ROOM, || go(&settings, true, true)).unwrap_err().to_string();
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
        let stop = Arc::new(AtomicBool::new(false));
        let error = train(&settings, &data, false, Options::default(), &stop).unwrap_err().to_string();
        assert!(error.contains("epoch 1, batch 1") && error.contains("learning_rate"), "{error}");
    }
}

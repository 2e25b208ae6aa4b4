//! Begins a run, or goes on from its last checkpoint.

use anyhow::{Result, anyhow, bail};

use super::Trainer;
use crate::data::{Dataset, batch, crossings, spread_over_patients};
use crate::net::{FROZEN_CONVOLUTIONS, Module};
use crate::train::adam::Adam;
use crate::train::distillation::Distillation;
use crate::train::ema::{self, Ema};
use crate::train::resume;
use crate::train::run::RunDir;
use crate::train::schedule::{Plateau, Schedule};
use crate::train::settings::Settings;
use crate::train::state::State;
use crate::train::watch::Watch;
use crate::util::Rng;
use crate::weights::{self, Start};

/// Frames by which batch normalisation is set behind weights that came without.
const SEEN: usize = 24;

impl<'a> Trainer<'a> {
    /// A new run, or with `resume` the one that is there.
    pub fn new(settings: &'a Settings, data: &'a Dataset, resume: bool) -> Result<Self> {
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
        if let Some(warning) = crossings::warning(&split, data)? {
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
            let (checkpoint, mut state) = RunDir::load(&run.last())?;
            let saved = checkpoint.tensors;
            let own = |name: &str| !name.starts_with("adam.") && !name.starts_with(ema::PREFIX);
            let parameters = saved.iter().filter(|(name, _)| own(name));
            let parameters = parameters.map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
            let frozen = state.frozen.unwrap_or_else(|| {
                // A checkpoint of before it was stored: what was frozen has no moments.
                let trains = saved.contains_key("adam.mean.conv1_1.weight");
                if trains { 0 } else { FROZEN_CONVOLUTIONS }
            });
            state.frozen = Some(frozen);
            (Start { parameters: parameters.collect(), frozen, unnormalised: vec![] }, state, Some(saved))
        } else {
            let start = match &settings.init {
                Some(path) => weights::from_file(&network, path)?,
                None => weights::random(&network),
            };
            let plateau =
                Plateau::new(settings.learning_rate, settings.plateau_factor, settings.plateau_patience);
            let state = State::new(plateau, start.frozen);
            (start, state, None)
        };
        let mut module = Module::new(network, start.parameters, start.frozen, settings.precision, device);
        if !start.unnormalised.is_empty() {
            let frames = spread_over_patients(&train, SEEN);
            let crops = frames.iter().map(|frame| batch(&[*frame], size, None, device).crops);
            module.unnormalise(&start.unnormalised, crops);
        }
        let mut adam = Adam::new(&module.parameters);
        let mut ema = (settings.ema_decay > 0.0).then(|| Ema::new(settings.ema_decay, &module.parameters));
        if let Some(saved) = saved {
            let loaded = adam.load(&saved, state.step).and_then(|()| match &mut ema {
                Some(ema) => ema.load(&saved),
                None => Ok(()),
            });
            loaded.map_err(|name| anyhow!("{}: lacks `{name}`", run.last().display()))?;
        }
        let distillation = Distillation::of(settings, &run, resume, device)?;
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
            ema,
            distillation,
            state,
            run,
            watch,
        })
    }
}

//! The directory of a training run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nervelight_engines::store::atomic::{self, Access};

use super::history::{self, Validation};
use super::settings::Settings;
use super::state::State;
use crate::data::{Corrections, Dataset, Split};
use crate::weights::{Checkpoint, checkpoint};

/// Which of a run's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// Lowest validation loss
    Best,
    /// Newest
    Last,
}

/// The run's copy of its corrections: the file they came from may be edited on.
const CORRECTIONS: &str = "corrections.toml";
/// Its validations.
const METRICS: &str = "metrics.csv";

/// A run's directory.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The directory at `root`, whatever is there.
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Makes the directory of a new run. Refuses one that holds a run already.
    pub fn create(root: &Path, settings: &Settings, split: &Split) -> Result<Self> {
        let run = Self::at(root);
        if run.last().exists() {
            bail!("{}: holds a run already; continue it with --resume, or set another `run`", root.display());
        }
        let checkpoints = root.join("checkpoints");
        std::fs::create_dir_all(&checkpoints)
            .with_context(|| format!("{}: cannot be made", checkpoints.display()))?;
        run.write("config.toml", toml::to_string(settings)?.as_bytes())?;
        let path = run.split();
        split.save(&path).with_context(|| format!("{}: write", path.display()))?;
        Ok(run)
    }

    /// An existing run with its settings and split.
    pub fn open(root: &Path) -> Result<(Self, Settings, Split)> {
        let run = Self::at(root);
        let settings = Settings::load(&root.join("config.toml"))
            .with_context(|| format!("{}: is no directory of a training run", root.display()))?;
        let split = Split::load(&run.split())?;
        Ok((run, settings, split))
    }

    /// Removes what a kill or a power cut left of files that were being written: half a checkpoint can be large.
    pub fn sweep(&self) -> Result<()> {
        for directory in [&self.root, &self.root.join("checkpoints")] {
            atomic::sweep(directory).with_context(|| format!("{}: tidy up", directory.display()))?;
        }
        Ok(())
    }

    /// Keeps a copy of the corrections that `data` was loaded with.
    pub fn keep_corrections(&self, data: &Dataset) -> Result<()> {
        match &data.corrections {
            Some(applied) => self.write(CORRECTIONS, applied.corrections.text.as_bytes()),
            None => match std::fs::remove_file(self.root.join(CORRECTIONS)) {
                // Of a run that ended before its first checkpoint.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
        }
    }

    /// The corrections that the run trains with.
    pub fn corrections(&self) -> Result<Option<Corrections>> {
        let path = self.root.join(CORRECTIONS);
        Ok(if path.exists() { Some(Corrections::load(&path)?) } else { None })
    }

    /// Refuses to resume with `data` that was corrected otherwise.
    pub fn check_corrections(&self, data: &Dataset) -> Result<()> {
        let own = self.corrections()?.map(|own| own.digest);
        let given = data.corrections.as_ref().map(|applied| applied.corrections.digest.clone());
        if own != given {
            let remedy = match own {
                Some(_) => format!("set it to the run's own copy, {}", self.root.join(CORRECTIONS).display()),
                None => "leave it out".into(),
            };
            let name = |digest: Option<String>| digest.unwrap_or_else(|| "none".into());
            bail!(
                "{}: a resumed run keeps its corrections, but they were {} and are {} now (SHA-256). Of \
                 `corrections`: {remedy}; or start a new run",
                self.root.display(),
                name(own),
                name(given),
            );
        }
        Ok(())
    }

    /// The run's data, corrected as it was for training, or the data in `elsewhere`: corrected too
    /// when it is the same.
    pub fn data(&self, settings: &Settings, split: &Split, elsewhere: Option<&Path>) -> Result<Dataset> {
        let directory = elsewhere.unwrap_or(&settings.data);
        Ok(match self.corrections()? {
            Some(corrections) => Dataset::corrected(directory, corrections, Some(&split.data))?,
            None => Dataset::load(directory)?,
        })
    }

    /// Notes that the run goes on to `epochs`.
    pub fn set_epochs(&self, epochs: usize) -> Result<()> {
        let settings = Settings::load(&self.root.join("config.toml"))?;
        if settings.epochs == epochs {
            return Ok(());
        }
        self.write("config.toml", toml::to_string(&Settings { epochs, ..settings })?.as_bytes())
    }

    /// Its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folds, and which one validates.
    pub fn split(&self) -> PathBuf {
        self.root.join("split.json")
    }

    /// Whether there is a checkpoint to go on from.
    pub fn has_begun(root: &Path) -> bool {
        Self::at(root).last().exists()
    }

    /// Checkpoint of the newest epoch or interruption, with the optimizer's moments.
    pub fn last(&self) -> PathBuf {
        self.root.join("checkpoints/last.safetensors")
    }

    /// Checkpoint of the lowest validation loss, parameters only.
    pub fn best(&self) -> PathBuf {
        self.root.join("checkpoints/best.safetensors")
    }

    /// One of the two.
    pub fn checkpoint(&self, which: Which) -> PathBuf {
        match which {
            Which::Best => self.best(),
            Which::Last => self.last(),
        }
    }

    /// Writes a file of the run whole or not at all.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        atomic::write(&path, Access::Umask, contents).with_context(|| format!("{}: write", path.display()))
    }

    /// Writes a checkpoint with `state` in its header.
    pub fn save(&self, path: &Path, mut checkpoint: Checkpoint, state: &State) -> Result<()> {
        checkpoint.notes.insert("state".into(), serde_json::to_string(state)?);
        checkpoint::write(path, &checkpoint).with_context(|| format!("{}: write", path.display()))
    }

    /// Reads a checkpoint of [`Self::save`].
    pub fn load(path: &Path) -> Result<(Checkpoint, State)> {
        let name = || format!("{}: is no checkpoint of a run", path.display());
        let checkpoint = checkpoint::read(path).with_context(name)?;
        let state = checkpoint.notes.get("state").with_context(name)?;
        let state = serde_json::from_str(state).with_context(name)?;
        Ok((checkpoint, state))
    }

    /// Every validation so far.
    pub fn read_metrics(&self) -> Result<Vec<Validation>> {
        let path = self.root.join(METRICS);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot be read; has the run had a validation?", path.display()))?;
        history::parse(&path.display().to_string(), &text)
    }

    /// Keeps every validation so far.
    pub fn write_metrics(&self, rows: &[Validation]) -> Result<()> {
        self.write(METRICS, history::to_csv(rows)?.as_bytes())
    }
}

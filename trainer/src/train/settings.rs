//! What the user sets for a training run; `configs/train.toml` explains every key.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nervelight_engines::settings::{self, Problem};
use serde::{Deserialize, Serialize};

use super::loss::{Loss, LossKind};
use super::{renamed, schedule};
use crate::data::{Augment, Dataset, Sampler, Split, SplitBy};
use crate::net::Network;
use crate::net::NumberFormat;
use crate::util::cuda;

/// A training run as written by the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of frames and masks.
    pub data: PathBuf,
    /// File of decisions about frames that contradict each other; none = the data as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<PathBuf>,
    /// Directory that the run writes.
    pub run: PathBuf,
    /// Draws split, first weights, order and augmentation.
    pub seed: u64,
    /// Where tensors live.
    pub device: DeviceChoice,
    /// CPU threads; 0 = one per core.
    pub threads: usize,

    /// The network by name.
    pub network: String,
    /// Factor on its channel counts.
    pub width: f64,
    /// Weights to start from; none = random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Number format of forward and backward pass.
    pub precision: NumberFormat,

    /// What folds consist of.
    pub split: SplitBy,
    /// Number of folds.
    pub folds: usize,
    /// The fold that validates, from 1; the others train.
    pub fold: usize,
    /// Folds of `nervelight-train split`, instead of `split`, `folds` and `seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_file: Option<PathBuf>,
    /// Leave out frames without nerve.
    pub positives_only: bool,
    /// How an epoch draws from the training frames.
    pub sampler: Sampler,
    /// How much training frames vary.
    pub augment: Augment,

    /// Passes over the training frames.
    pub epochs: usize,
    /// Frames in a batch.
    pub batch_size: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// How it falls.
    pub schedule: schedule::Kind,
    /// Steps over which it rises.
    pub warmup: usize,
    /// Decay of the parameters' moving average; 0 = none.
    pub ema_decay: f64,
    /// Epochs without a lower validation loss that end the run; 0 = never.
    pub stop_after: usize,
    /// The loss by name.
    pub loss: LossKind,
    /// Weight of recall in the F-score loss.
    pub recall_weight: f64,
    /// Swap truth and prediction in it, as the published program does.
    pub swap_truth_and_prediction: bool,
    /// Weight of missed pixels in the focal Tversky loss.
    pub tversky_alpha: f64,
    /// Its exponent.
    pub tversky_gamma: f64,
    /// Run or bundle whose maps are learnt beside the truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Its part of the loss, 0..1.
    pub distillation_weight: f64,
    /// Factor on the learning rate at a plateau.
    pub plateau_factor: f64,
    /// Validations without improvement before that.
    pub plateau_patience: u32,

    /// Steps between validations.
    pub validate_every: usize,
    /// Frames in a validation within an epoch; 0 = all.
    pub validation_limit: usize,
    /// Steps between checkpoints; 0 = only at the end of an epoch.
    pub save_every: usize,
}

/// What suits frames of many patients, some without nerve, and random first weights.
impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            corrections: None,
            run: PathBuf::new(),
            seed: 1,
            device: DeviceChoice::Auto,
            threads: 0,
            network: "vgg16-fcn".into(),
            width: 1.0,
            init: None,
            precision: NumberFormat::Bf16,
            split: SplitBy::Patient,
            folds: 5,
            fold: 1,
            split_file: None,
            positives_only: false,
            sampler: Sampler::Balanced,
            augment: Augment::Full,
            epochs: 30,
            batch_size: 8,
            accumulate: 1,
            learning_rate: 5e-4,
            schedule: schedule::Kind::Cosine,
            warmup: 100,
            ema_decay: 0.998,
            stop_after: 0,
            loss: LossKind::BceDice,
            recall_weight: 1.5,
            swap_truth_and_prediction: false,
            tversky_alpha: 0.7,
            tversky_gamma: 0.75,
            teacher: None,
            distillation_weight: 0.5,
            plateau_factor: 0.1,
            plateau_patience: 10,
            validate_every: 100,
            validation_limit: 100,
            save_every: 500,
        }
    }
}

/// Where tensors live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The first GPU that libtorch can use, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU; an error when libtorch cannot use it.
    Cuda,
}

impl Settings {
    /// Reads and checks `path`. Every mistake is reported, with file, line and key. Keys of earlier
    /// versions are read as well.
    pub fn load(path: &Path) -> Result<Self> {
        let text = settings::text(path)?;
        Ok(settings::read_text(path, &renamed::keys(&text).0, Self::problems)?)
    }

    /// A line for each key of `path` that has another name now.
    pub fn hints(path: &Path) -> Result<Vec<String>> {
        let text = settings::text(path)?;
        let hint = |(was, now)| format!("{}: `{was}` is called `{now}` now", path.display());
        Ok(renamed::keys(&text).1.into_iter().map(hint).collect())
    }

    /// Every impossible value.
    fn problems(&self) -> Vec<Problem> {
        let scaled = 64.0 * self.width;
        let checks = [
            ("data", !self.data.as_os_str().is_empty(), "missing; name the folder of frames and masks"),
            ("run", !self.run.as_os_str().is_empty(), "missing; name the folder to write"),
            ("threads", self.threads <= 256, "impossible; use 0 (one per core) to 256"),
            (
                "network",
                Network::named(&self.network, 1.0).is_ok(),
                "unknown; use \"vgg16-fcn\" or \"vgg16-unet\"",
            ),
            (
                "width",
                (4.0..=64.0).contains(&scaled) && scaled.fract() == 0.0,
                "impossible; use 1.0, 0.5 or 0.25",
            ),
            ("folds", (2..=100).contains(&self.folds), "impossible; use 2 to 100, such as 5"),
            ("fold", (1..=100).contains(&self.fold), "impossible; use 1 to the number of folds"),
            ("epochs", (1..=100_000).contains(&self.epochs), "impossible; use 1 to 100000"),
            ("batch_size", (1..=4096).contains(&self.batch_size), "impossible; use 1 to 4096"),
            (
                "learning_rate",
                self.learning_rate > 0.0 && self.learning_rate < 1.0,
                "impossible; use more than 0 and less than 1, such as 1e-5",
            ),
            ("accumulate", (1..=4096).contains(&self.accumulate), "impossible; use 1 to 4096"),
            ("ema_decay", (0.0..1.0).contains(&self.ema_decay), "impossible; use 0 (none) or e.g. 0.998"),
            (
                "tversky_alpha",
                self.tversky_alpha > 0.0 && self.tversky_alpha < 1.0,
                "impossible; use more than 0 and less than 1, such as 0.7",
            ),
            (
                "tversky_gamma",
                self.tversky_gamma > 0.0 && self.tversky_gamma <= 4.0,
                "impossible; use more than 0 and at most 4, such as 0.75",
            ),
            (
                "plateau_factor",
                self.plateau_factor > 0.0 && self.plateau_factor < 1.0,
                "impossible; use e.g. 0.1",
            ),
            (
                "recall_weight",
                self.recall_weight > 0.0 && self.recall_weight.is_finite(),
                "impossible; use more than 0",
            ),
            (
                "distillation_weight",
                (0.0..=1.0).contains(&self.distillation_weight),
                "impossible; use 0 to 1",
            ),
            ("validate_every", self.validate_every > 0, "impossible; use at least 1"),
        ];
        let wrong = checks.into_iter().filter(|(_, good, _)| !good);
        let mut problems: Vec<_> = wrong.map(|(key, _, message)| Problem::at(key, message)).collect();
        if self.split_file.is_none() && self.fold > self.folds {
            problems.push(Problem::at("fold", "impossible; use 1 to the number of folds"));
        }
        problems
    }

    /// The folds described, for `data`.
    pub fn split(&self, data: &Dataset) -> Result<Split> {
        let split = match &self.split_file {
            Some(path) => Split::load(path)?,
            None => Split::draw(data, self.split, self.folds, self.seed)?,
        };
        Ok(Split { fold: self.fold, positives_only: self.positives_only, ..split })
    }

    /// The network described.
    pub fn network(&self) -> Result<Network> {
        Network::named(&self.network, self.width).map_err(anyhow::Error::msg)
    }

    /// The loss described.
    pub fn loss(&self) -> Loss {
        let Self { recall_weight, swap_truth_and_prediction, tversky_alpha, tversky_gamma, .. } = *self;
        Loss { kind: self.loss, recall_weight, swap_truth_and_prediction, tversky_alpha, tversky_gamma }
    }

    /// The device described.
    pub fn device(&self) -> Result<tch::Device> {
        if self.device == DeviceChoice::Cpu {
            return Ok(tch::Device::Cpu);
        }
        let missing = match cuda::load() {
            Ok(()) if tch::Cuda::is_available() => return Ok(tch::Device::Cuda(0)),
            Ok(()) => "libtorch sees no GPU",
            Err(missing) => missing,
        };
        if self.device == DeviceChoice::Auto {
            return Ok(tch::Device::Cpu);
        }
        bail!(
            "device = \"cuda\": {missing}. Install NVIDIA's driver and a CUDA build of PyTorch, or set device = \
             \"cpu\""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("train.toml");
        std::fs::write(&path, text).unwrap();
        Settings::load(&path)
    }

    const PATHS: &str = "data = \"d\"\nrun = \"r\"\n";

    #[test]
    fn published_protocol_is_an_example() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/published.toml");
        let s = Settings::load(Path::new(example)).unwrap();
        assert_eq!((s.split, s.sampler, s.augment), (SplitBy::Frame, Sampler::Shuffle, Augment::None));
        assert_eq!((s.epochs, s.batch_size, s.learning_rate), (15, 10, 1e-5));
        assert_eq!((s.loss, s.recall_weight, s.validate_every), (LossKind::WeightedF, 1.5, 30));
        assert_eq!((s.plateau_factor, s.plateau_patience), (0.1, 10));
    }

    #[test]
    fn commented_example_holds_every_default() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/train.toml");
        let mut example = Settings::load(Path::new(example)).unwrap();
        example.data = "d".into();
        example.run = "r".into();
        assert_eq!(example, load(PATHS).unwrap());
    }

    #[test]
    fn keys_of_earlier_versions_are_read_with_a_hint() {
        let old = "weight = 1.7\nas_run = true\naverage = 0.5\nteacher_weight = 0.3\n";
        let s = load(&format!("{PATHS}{old}")).unwrap();
        assert_eq!((s.recall_weight, s.swap_truth_and_prediction), (1.7, true));
        assert_eq!((s.ema_decay, s.distillation_weight), (0.5, 0.3));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("train.toml");
        std::fs::write(&path, format!("{PATHS}{old}")).unwrap();
        let hints = Settings::hints(&path).unwrap();
        assert_eq!(hints.len(), 4, "{hints:?}");
        assert!(hints[0].ends_with("train.toml: `weight` is called `recall_weight` now"), "{hints:?}");
        // A mistake is found under either name, in its line; both names are one too many.
        let error = format!("{:#}", load(&format!("{PATHS}average = 1.0")).unwrap_err());
        assert!(error.contains("train.toml:3: ema_decay: impossible"), "{error}");
        let error = format!("{:#}", load(&format!("{PATHS}weight = 1.0\nrecall_weight = 1.0")).unwrap_err());
        assert!(error.contains("recall_weight"), "{error}");
        std::fs::write(&path, PATHS).unwrap();
        assert!(Settings::hints(&path).unwrap().is_empty());
    }

    #[test]
    fn a_gpu_that_is_asked_for_and_missing_is_an_error_and_else_the_cpu_computes() {
        let device = |text: &str| load(&format!("{PATHS}device = \"{text}\"")).unwrap().device();
        assert_eq!(device("cpu").unwrap(), tch::Device::Cpu);
        match device("cuda") {
            Ok(gpu) => assert_eq!(device("auto").unwrap(), gpu),
            Err(error) => {
                assert!(error.to_string().starts_with("device = \"cuda\": lib"), "{error}");
                assert_eq!(device("auto").unwrap(), tch::Device::Cpu);
            }
        }
    }

    #[test]
    fn mistakes_name_file_and_key() {
        for (text, expected) in [
            ("widht = 0.5", "widht"),
            ("width = \"half\"", "width"),
            ("width = 0.3", "3: width: impossible; use 1.0, 0.5 or 0.25"),
            ("network = \"unet\"", "3: network: unknown"),
            ("split = \"hospital\"", "split"),
            ("batch_size = 0", "3: batch_size: impossible"),
            ("batch_size = 5000", "3: batch_size: impossible"),
            ("threads = 257", "3: threads: impossible; use 0 (one per core) to 256"),
            ("epochs = 1000000", "3: epochs: impossible"),
            ("folds = 1", "3: folds: impossible"),
            ("folds = 3\nfold = 4", "4: fold: impossible"),
            ("average = 1.0", "3: ema_decay: impossible"),
            ("ema_decay = 1.0", "3: ema_decay: impossible"),
            ("augment = true", "augment"),
            ("learning_rate = nan", "3: learning_rate: impossible"),
        ] {
            let error = format!("{:#}", load(&format!("{PATHS}{text}\n")).unwrap_err());
            assert!(error.contains("train.toml") && error.contains(expected), "{error}");
        }
        let two = format!("{:#}", load(&format!("{PATHS}epochs=0\nbatch_size=0")).unwrap_err());
        assert!(two.contains(":3: epochs") && two.contains(":4: batch_size"), "{two}");
    }
}

//! What the user sets for a training run; `configs/train.toml` explains every key.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use nervelight_engines::settings::{self, Problem};
use serde::{Deserialize, Serialize};

use crate::data::SplitBy;
use crate::loss::{Loss, LossKind};
use crate::module::Precision;
use crate::network::Network;

/// A training run as written by the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of frames and masks.
    pub data: PathBuf,
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
    pub precision: Precision,

    /// What is drawn for validation.
    pub split: SplitBy,
    /// Part of the frames for validation, 0..1.
    pub validation_part: f64,
    /// Leave out frames without nerve.
    pub positives_only: bool,
    /// Vary training frames.
    pub augment: bool,

    /// Passes over the training frames.
    pub epochs: usize,
    /// Frames in a batch.
    pub batch_size: usize,
    /// First learning rate.
    pub learning_rate: f64,
    /// The loss by name.
    pub loss: LossKind,
    /// Weight of recall in the F-score loss.
    pub weight: f64,
    /// Swap truth and prediction in it, as the published program does.
    pub as_run: bool,
    /// Factor on the learning rate at a plateau.
    pub plateau_factor: f64,
    /// Validations without improvement before that.
    pub plateau_patience: u32,

    /// Batches between validations.
    pub validate_every: usize,
    /// Frames in a validation within an epoch; 0 = all.
    pub validation_limit: usize,
}

/// The published protocol, but split by patient.
impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            run: PathBuf::new(),
            seed: 1,
            device: DeviceChoice::Auto,
            threads: 0,
            network: "vgg16-fcn".into(),
            width: 1.0,
            init: None,
            precision: Precision::Fp32,
            split: SplitBy::Patient,
            validation_part: 0.2,
            positives_only: false,
            augment: false,
            epochs: 15,
            batch_size: 10,
            learning_rate: 1e-5,
            loss: LossKind::WeightedF,
            weight: 1.5,
            as_run: false,
            plateau_factor: 0.1,
            plateau_patience: 10,
            validate_every: 30,
            validation_limit: 0,
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
    /// Reads and checks `path`. Every mistake is reported, with file, line and key.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(settings::read(path, Self::problems)?)
    }

    /// Every impossible value.
    fn problems(&self) -> Vec<Problem> {
        let scaled = 64.0 * self.width;
        let checks: [(&str, bool, &str); 11] = [
            ("data", !self.data.as_os_str().is_empty(), "missing; name the folder of frames and masks"),
            ("run", !self.run.as_os_str().is_empty(), "missing; name the folder to write"),
            ("threads", self.threads <= 256, "impossible; use 0 (one per core) to 256"),
            ("network", Network::named(&self.network, 1.0).is_ok(), "unknown; use \"vgg16-fcn\""),
            (
                "width",
                (4.0..=64.0).contains(&scaled) && scaled.fract() == 0.0,
                "impossible; use 1.0, 0.5 or 0.25",
            ),
            (
                "validation_part",
                self.validation_part > 0.0 && self.validation_part < 1.0,
                "impossible; use more than 0 and less than 1, such as 0.2",
            ),
            ("epochs", (1..=100_000).contains(&self.epochs), "impossible; use 1 to 100000"),
            ("batch_size", (1..=4096).contains(&self.batch_size), "impossible; use 1 to 4096"),
            (
                "learning_rate",
                self.learning_rate > 0.0 && self.learning_rate < 1.0,
                "impossible; use more than 0 and less than 1, such as 1e-5",
            ),
            ("weight", self.weight > 0.0 && self.weight.is_finite(), "impossible; use more than 0"),
            ("validate_every", self.validate_every > 0, "impossible; use at least 1"),
        ];
        let wrong = checks.into_iter().filter(|(_, good, _)| !good);
        let mut problems: Vec<_> = wrong.map(|(key, _, message)| Problem::at(key, message)).collect();
        if !(self.plateau_factor > 0.0 && self.plateau_factor < 1.0) {
            problems.push(Problem::at("plateau_factor", "impossible; use e.g. 0.1"));
        }
        problems
    }

    /// The network described.
    pub fn network(&self) -> Result<Network> {
        Network::named(&self.network, self.width).map_err(anyhow::Error::msg)
    }

    /// The loss described.
    pub fn loss(&self) -> Loss {
        Loss { kind: self.loss, weight: self.weight, as_run: self.as_run }
    }

    /// The device described.
    pub fn device(&self) -> Result<tch::Device> {
        match self.device {
            DeviceChoice::Auto => Ok(tch::Device::cuda_if_available()),
            DeviceChoice::Cpu => Ok(tch::Device::Cpu),
            DeviceChoice::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
            DeviceChoice::Cuda => bail!(
                "device = \"cuda\": this libtorch sees no GPU; install a driver and a CUDA build \
                 of PyTorch, or set device = \"cpu\""
            ),
        }
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
    fn defaults_are_the_published_protocol() {
        let s = load(PATHS).unwrap();
        assert_eq!((s.epochs, s.batch_size, s.learning_rate), (15, 10, 1e-5));
        assert_eq!((s.loss, s.weight, s.validate_every), (LossKind::WeightedF, 1.5, 30));
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
            ("learning_rate = nan", "3: learning_rate: impossible"),
        ] {
            let error = format!("{:#}", load(&format!("{PATHS}{text}\n")).unwrap_err());
            assert!(error.contains("train.toml") && error.contains(expected), "{error}");
        }
        let two = format!("{:#}", load(&format!("{PATHS}epochs=0\nbatch_size=0")).unwrap_err());
        assert!(two.contains(":3: epochs") && two.contains(":4: batch_size"), "{two}");
    }
}

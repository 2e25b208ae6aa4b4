//! What the user sets for a training run; `configs/train.toml` explains every key.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::data::SplitBy;
use crate::loss::{Loss, LossKind};
use crate::module::Precision;
use crate::network::Network;

/// A training run as written by the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Directory of frames and masks.
    pub data: PathBuf,
    /// Directory that the run writes.
    pub run: PathBuf,
    #[serde(default = "one")]
    pub seed: u64,
    #[serde(default)]
    pub device: DeviceChoice,
    /// CPU threads; 0 = one per core.
    #[serde(default)]
    pub threads: usize,

    #[serde(default = "vgg16_fcn")]
    pub network: String,
    #[serde(default = "full_width")]
    pub width: f64,
    /// Weights to start from; none = random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    #[serde(default = "fp32")]
    pub precision: Precision,

    #[serde(default = "by_patient")]
    pub split: SplitBy,
    /// Part of the frames for validation, 0..1.
    #[serde(default = "a_fifth")]
    pub validation_part: f64,
    #[serde(default)]
    pub positives_only: bool,
    #[serde(default)]
    pub augment: bool,

    #[serde(default = "fifteen")]
    pub epochs: usize,
    #[serde(default = "ten")]
    pub batch_size: usize,
    #[serde(default = "original_rate")]
    pub learning_rate: f64,
    #[serde(default = "weighted_f")]
    pub loss: LossKind,
    #[serde(default = "recall_first")]
    pub weight: f64,
    #[serde(default)]
    pub as_run: bool,
    /// Factor on the learning rate at a plateau.
    #[serde(default = "a_tenth")]
    pub plateau_factor: f64,
    /// Validations without improvement before that.
    #[serde(default = "ten_validations")]
    pub plateau_patience: u32,

    /// Batches between validations.
    #[serde(default = "thirty")]
    pub validate_every: usize,
    /// Frames in a validation within an epoch; 0 = all.
    #[serde(default)]
    pub validation_limit: usize,
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
    /// Reads and checks `path`. Mistakes name the file and the key.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{name}: cannot be read; see configs/train.toml"))?;
        let settings: Self = toml::from_str(&text).with_context(|| name.to_string())?;
        let mistakes = settings.mistakes();
        if !mistakes.is_empty() {
            bail!("{name}:\n  {}", mistakes.join("\n  "));
        }
        Ok(settings)
    }

    /// Every impossible value.
    fn mistakes(&self) -> Vec<String> {
        let scaled = 64.0 * self.width;
        let checks = [
            (
                (4.0..=64.0).contains(&scaled) && scaled.fract() == 0.0,
                format!("width = {}: wanted 1.0, 0.5 or 0.25", self.width),
            ),
            (
                self.validation_part > 0.0 && self.validation_part < 1.0,
                format!("validation_part = {}: wanted more than 0, less than 1", self.validation_part),
            ),
            (self.epochs > 0, "epochs = 0: wanted at least 1".into()),
            (self.batch_size > 0, "batch_size = 0: wanted at least 1".into()),
            (self.validate_every > 0, "validate_every = 0: wanted at least 1".into()),
            (
                self.learning_rate > 0.0 && self.learning_rate < 1.0,
                format!("learning_rate = {}: wanted e.g. 1e-5", self.learning_rate),
            ),
            (
                self.weight > 0.0 && self.weight.is_finite(),
                format!("weight = {}: wanted more than 0, e.g. 1.5", self.weight),
            ),
            (
                self.plateau_factor > 0.0 && self.plateau_factor < 1.0,
                format!("plateau_factor = {}: wanted e.g. 0.1", self.plateau_factor),
            ),
        ];
        let wrong = checks.into_iter().filter(|(good, _)| !good).map(|(_, message)| message);
        wrong.chain(Network::named(&self.network, 1.0).err()).collect()
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

fn one() -> u64 {
    1
}
fn vgg16_fcn() -> String {
    "vgg16-fcn".into()
}
fn full_width() -> f64 {
    1.0
}
fn fp32() -> Precision {
    Precision::Fp32
}
fn by_patient() -> SplitBy {
    SplitBy::Patient
}
fn a_fifth() -> f64 {
    0.2
}
fn fifteen() -> usize {
    15
}
fn ten() -> usize {
    10
}
fn original_rate() -> f64 {
    1e-5
}
fn weighted_f() -> LossKind {
    LossKind::WeightedF
}
fn recall_first() -> f64 {
    1.5
}
fn a_tenth() -> f64 {
    0.1
}
fn ten_validations() -> u32 {
    10
}
fn thirty() -> usize {
    30
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
            ("width = 0.3", "width = 0.3: wanted 1.0, 0.5 or 0.25"),
            ("network = \"unet\"", "there is no network `unet`"),
            ("split = \"hospital\"", "split"),
            ("batch_size = 0", "batch_size = 0"),
        ] {
            let error = format!("{:#}", load(&format!("{PATHS}{text}\n")).unwrap_err());
            assert!(error.contains("train.toml") && error.contains(expected), "{error}");
        }
        let two = format!("{:#}", load(&format!("{PATHS}epochs=0\nbatch_size=0")).unwrap_err());
        assert!(two.contains("epochs") && two.contains("batch_size"), "{two}");
    }
}

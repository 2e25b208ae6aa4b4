//! Distillation (Hinton, Vinyals and Dean 2015): a narrow network learns from a wide one's maps.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::Bundle;
use nervelight_engines::digest::sha256;
use serde::{Deserialize, Serialize};
use tch::{Device, Reduction, Tensor};

use super::run::RunDir;
use super::settings::Settings;
use crate::net::Network;
use crate::net::{Module, NumberFormat};
use crate::weights;

/// Logits are divided by it, so that a teacher that is sure still shows which pixels were nearly nerve.
const TEMPERATURE: f64 = 2.0;
/// What the run remembers of its teacher.
const FILE: &str = "teacher.json";

/// A trained network that another learns from.
#[derive(Debug)]
pub struct Distillation {
    module: Module,
    /// Part of the loss that it has, 0..1.
    weight: f64,
}

/// Which network taught a run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    /// Where it was found at first.
    path: PathBuf,
    /// sha256 of the checkpoint, or of the bundle's manifest.
    digest: String,
}

impl Distillation {
    /// The teacher that `settings` name, if any. A new run notes its digest, a resumed one insists on
    /// the same.
    pub fn of(settings: &Settings, run: &RunDir, resume: bool, device: Device) -> Result<Option<Self>> {
        let Some(path) = &settings.teacher else {
            return Ok(None);
        };
        let (module, digest) = load(path, device).with_context(|| format!("teacher {}", path.display()))?;
        let note = run.root().join(FILE);
        if resume {
            let name = || note.display().to_string();
            let text = std::fs::read(&note).with_context(name)?;
            let first: Record = serde_json::from_slice(&text).with_context(name)?;
            if first.digest != digest {
                bail!(
                    "{}: is not the teacher that this run began with (sha256 {} then, {digest} now); bring \
                     that one back, or start a new run",
                    path.display(),
                    first.digest
                );
            }
        } else {
            run.write(FILE, &serde_json::to_vec_pretty(&Record { path: path.clone(), digest })?)?;
        }
        Ok(Some(Self { module, weight: settings.distillation_weight }))
    }

    /// The loss of `logits` for `crops`: `truth`, the loss against the truth, and the teacher's by weight.
    pub fn loss(&self, truth: &Tensor, logits: &Tensor, crops: &Tensor) -> Tensor {
        let wanted = tch::no_grad(|| self.module.logits(crops));
        truth * (1.0 - self.weight) + divergence(logits, &wanted) * self.weight
    }
}

/// Mean over pixels of the divergence (Kullback-Leibler) of `logits` from the teacher's `wanted`, both
/// softened; times the square of the temperature, which keeps gradients as large as without one.
fn divergence(logits: &Tensor, wanted: &Tensor) -> Tensor {
    let (logits, wanted) = (logits / TEMPERATURE, wanted / TEMPERATURE);
    let target = wanted.sigmoid();
    let none = None::<&Tensor>;
    let entropy =
        |logits: &Tensor| logits.binary_cross_entropy_with_logits(&target, none, none, Reduction::Mean);
    (entropy(&logits) - entropy(&wanted)) * (TEMPERATURE * TEMPERATURE)
}

/// The network at `path`, a run's directory or a bundle, and its digest. A run's best checkpoint, in the
/// precision it was trained in.
fn load(path: &Path, device: Device) -> Result<(Module, String)> {
    let (network, weights, precision, digest) = if path.join("config.toml").exists() {
        let (run, settings, _) = RunDir::open(path)?;
        let best = run.best();
        let bytes =
            std::fs::read(&best).with_context(|| format!("{}: train at least one epoch", best.display()))?;
        (settings.network()?, best, settings.precision, sha256(&bytes))
    } else {
        let bundle = Bundle::open(path).context("is neither a run's directory nor a bundle")?;
        let described = &bundle.manifest.provenance.network;
        let network = Network::described(described).map_err(anyhow::Error::msg)?;
        (network, path.to_owned(), NumberFormat::Fp32, bundle.digest)
    };
    let parameters = weights::whole(&network, &weights)?;
    let mut module = Module::new(network, parameters, 0, precision, device);
    for tensor in module.parameters.values_mut() {
        *tensor = tensor.set_requires_grad(false);
    }
    Ok((module, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Split, SplitBy};
    use crate::train::adam::Adam;
    use tch::Kind;

    fn crops() -> Tensor {
        Tensor::randint(256, [2, 1, 32, 64], (Kind::Uint8, Device::Cpu))
    }

    fn module(width: f64, seed: i64) -> Module {
        tch::manual_seed(seed);
        let network = Network::vgg16_fcn(width);
        let parameters = weights::random(&network).parameters;
        Module::new(network, parameters, 0, NumberFormat::Fp32, Device::Cpu)
    }

    #[test]
    fn divergence_is_zero_at_the_teachers_logits_only() {
        let wanted = Tensor::from_slice(&[-3.0f32, 0.5, 2.0]);
        let at = |shift: f64| divergence(&(&wanted + shift), &wanted).double_value(&[]);
        assert!(at(0.0).abs() < 1e-6 && at(0.5) > 1e-3 && at(1.0) > at(0.5), "{}", at(0.0));
    }

    #[test]
    fn a_student_taught_by_the_teacher_alone_comes_to_its_maps() {
        let teacher = Distillation { module: module(0.125, 1), weight: 1.0 };
        let mut student = module(0.0625, 2);
        let (crops, nothing) = (crops(), Tensor::from(0.0f32));
        let off = |student: &Module| {
            (student.predict(&crops) - teacher.module.predict(&crops))
                .abs()
                .mean(Kind::Float)
                .double_value(&[])
        };
        let before = off(&student);
        let mut adam = Adam::new(&student.parameters);
        for _ in 0..60 {
            teacher.loss(&nothing, &student.train_logits(&crops), &crops).backward();
            adam.step(&mut student.parameters, 3e-3);
        }
        assert!(off(&student) < 0.5 * before, "{} of {before}", off(&student));
    }

    #[test]
    fn weight_divides_the_loss() {
        let teacher = Distillation { module: module(0.0625, 1), weight: 0.25 };
        let crops = crops();
        let same = teacher.module.logits(&crops);
        let joined = teacher.loss(&Tensor::from(2.0f32), &same, &crops).double_value(&[]);
        assert!((joined - 1.5).abs() < 1e-5, "{joined}");
    }

    #[test]
    fn a_resumed_run_insists_on_its_teacher() {
        let directory = tempfile::tempdir().unwrap();
        let taught = |path: &Path| Settings {
            data: "data".into(),
            run: directory.path().join("student"),
            teacher: Some(path.into()),
            ..Default::default()
        };
        let wide = directory.path().join("wide");
        let settings =
            Settings { data: "data".into(), run: wide.clone(), width: 0.0625, ..Default::default() };
        let split = Split {
            by: SplitBy::Patient,
            seed: 1,
            data: "squares".into(),
            fold: 1,
            positives_only: false,
            folds: vec![],
        };
        let run = RunDir::create(&wide, &settings, &split).unwrap();
        let save = |seed| {
            let tensors = module(0.0625, seed).parameters;
            crate::weights::checkpoint::write(
                &run.best(),
                &crate::weights::checkpoint::Checkpoint { tensors, ..Default::default() },
            )
            .unwrap();
        };
        save(1);
        let student = RunDir::create(&directory.path().join("student"), &taught(&wide), &split).unwrap();
        let of = |resume| Distillation::of(&taught(&wide), &student, resume, Device::Cpu);
        assert!(of(false).unwrap().is_some());
        assert!(of(true).unwrap().is_some());
        save(2);
        let error = of(true).unwrap_err().to_string();
        assert!(error.contains("is not the teacher") && error.contains("start a new run"), "{error}");
        let absent = taught(&directory.path().join("absent"));
        let error = format!("{:#}", Distillation::of(&absent, &student, false, Device::Cpu).unwrap_err());
        assert!(error.contains("absent") && error.contains("neither"), "{error}");
    }
}

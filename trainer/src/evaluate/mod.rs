//! `evaluate`: how well a trained network, or a bundle in an engine, does by frame and by patient.

mod bundle;
mod files;
mod folds;
mod judgement;
mod print;
mod single;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nervelight_engines::{Backend, Precision, Provider};
use serde::de::DeserializeOwned;

use crate::data::{Dataset, Frame, Split};
use crate::metrics::{Figures, Sums};
use crate::point;
use crate::predict::{Prediction, Which};
use crate::report;
use crate::run::RunDir;
use crate::settings::Settings;

pub use bundle::predict as predict_frames;
pub use judgement::{Case, Judgement};

/// Pixels within which contours count as equal: 1% of a frame's height.
const TOLERANCE: f64 = 4.0;

/// Arguments of `evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train evaluate --run runs/first
  nervelight-train evaluate --run runs/first --data data/unseen --out runs/first/unseen
  nervelight-train evaluate --run runs/fold1 runs/fold2 runs/fold3 --out runs/folds
  nervelight-train evaluate --bundle first.bundle --run runs/first --precision int8
  nervelight-train evaluate --bundle first.bundle --data data/unseen --backend onnx

Writes report.html, summary.json, frames.csv, patients.csv and overlays/, worst frames first: purple
found, yellow missed, green invented. `compare` sets two of these folders against each other.

Several runs are folds of one data set: each judges its own validation frames, and the figures are
those of all together. Without --threshold and --min-area each fold's are chosen on the others' frames.")]
pub struct Arguments {
    /// Directory of the training run; several are folds
    #[arg(long, alias = "runs", value_name = "DIR", num_args = 1.., required_unless_present = "bundle")]
    run: Vec<PathBuf>,
    /// Judge this bundle in an engine; --run or --split says which frames are held out
    #[arg(long, value_name = "NAME.bundle")]
    bundle: Option<PathBuf>,
    /// Frames to judge by [default: the run's own]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// split.json whose frames to judge a bundle by
    #[arg(long, value_name = "FILE", requires = "bundle", conflicts_with = "run")]
    split: Option<PathBuf>,
    /// Which frames [default: the validation part of the data that was split, all of other data]
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Which checkpoint
    #[arg(long, value_enum, default_value_t = Which::Best, conflicts_with = "bundle")]
    checkpoint: Which,
    /// The bundle's model: fp32, fp16 or int8
    #[arg(long, default_value = "fp32", value_parser = named::<Precision>, requires = "bundle")]
    precision: Precision,
    /// What runs the bundle: auto, onnx or openvino
    #[arg(long, default_value = "auto", value_parser = named::<Backend>, requires = "bundle")]
    backend: Backend,
    /// Where ONNX Runtime runs it: cpu, cuda or tensorrt
    #[arg(long, default_value = "cpu", value_parser = named::<Provider>, requires = "bundle")]
    provider: Provider,
    /// CPU threads of the engine, 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0, requires = "bundle")]
    threads: usize,
    /// libonnxruntime.so
    #[arg(long, value_name = "FILE", requires = "bundle")]
    library: Option<PathBuf>,
    /// Least probability that counts as nerve, 0..1 [default: the bundle's, or the best on the run's
    /// validation frames]
    #[arg(long, value_name = "P", value_parser = point::probability)]
    threshold: Option<f32>,
    /// Least area of a nerve in pixels [default: the bundle's, or the best on the run's validation frames]
    #[arg(long, value_name = "PIXELS")]
    min_area: Option<u32>,
    /// Distance within which contours count as equal in the surface Dice
    #[arg(long, value_name = "PIXELS", default_value_t = TOLERANCE)]
    tolerance: f64,
    /// Overlay pictures to write, worst first
    #[arg(long, value_name = "N", default_value_t = 50)]
    overlays: usize,
    /// Where to write [default: folder `evaluation` of the run; NAME-PRECISION-BACKEND.evaluation
    /// beside a bundle]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A value by the name that configurations give it.
pub fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// Frames of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Kept apart from training
    Validation,
    /// Trained on
    Train,
    /// Every one
    All,
}

/// The frames of `part`; without one the validation part where `data` is what `split` divides.
pub fn select<'a>(data: &'a Dataset, split: &Split, part: Option<Part>) -> Result<Vec<&'a Frame>> {
    let own = split.data == data.digest;
    Ok(match part.unwrap_or(if own { Part::Validation } else { Part::All }) {
        Part::Validation => split.frames(data)?.1,
        Part::Train => split.frames(data)?.0,
        Part::All => data.frames.iter().collect(),
    })
}

/// A run opened.
struct Opened {
    run: RunDir,
    settings: Settings,
    split: Split,
}

impl Opened {
    fn open(path: &Path) -> Result<Self> {
        let (run, settings, split) = RunDir::open(path)?;
        Ok(Self { run, settings, split })
    }
}

/// Judges and writes the report.
pub fn run(arguments: &Arguments) -> Result<()> {
    let tolerance = arguments.tolerance;
    anyhow::ensure!(tolerance >= 0.0 && tolerance.is_finite(), "--tolerance {tolerance} is no distance");
    let runs: Vec<Opened> = arguments.run.iter().map(|path| Opened::open(path)).collect::<Result<_>>()?;
    let data = match (runs.first(), &arguments.data) {
        // With the corrections that the run was trained with.
        (Some(Opened { run, settings, split }), data) => run.data(settings, split, data.as_deref())?,
        (None, Some(data)) => Dataset::load(data)?,
        (None, None) => bail!("name the frames to judge by: --data DIR, or --run of the bundle's run"),
    };
    let judgement = match (&arguments.bundle, &runs[..]) {
        (Some(path), [_, _, ..]) => bail!("{}: a bundle comes from one run; name one --run", path.display()),
        (Some(path), runs) => bundle::judge(path, runs.first(), &data, arguments)?,
        (None, [opened]) => single::judge(opened, &data, arguments)?,
        (None, runs) => folds::judge(runs, &data, arguments)?,
    };
    let out = match (&arguments.out, &arguments.bundle, &runs[..]) {
        (Some(out), ..) => out.clone(),
        (None, Some(path), _) => bundle::default_out(path, arguments),
        (None, None, [opened]) => opened.run.root().join("evaluation"),
        (None, None, _) => bail!("say with --out where the figures of several runs go"),
    };
    finish(&judgement, &out, arguments.overlays)
}

/// Judges a run that has ended by its validation frames: what `evaluate --run` does.
pub fn of_run(root: &Path, data: &Dataset) -> Result<()> {
    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        arguments: Arguments,
    }
    let line = ["evaluate".as_ref(), "--run".as_ref(), root.as_os_str()];
    let Defaults { arguments } = clap::Parser::try_parse_from(line)?;
    let opened = Opened::open(root)?;
    let judgement = single::judge(&opened, data, &arguments)?;
    finish(&judgement, &root.join("evaluation"), arguments.overlays)
}

/// Whether [`of_run`] has yet to judge the run in `root` as it is: it was cut short, or the network was
/// trained on since.
pub fn is_due(root: &Path) -> bool {
    let written = |path: &str| std::fs::metadata(root.join(path)).and_then(|file| file.modified()).ok();
    written("evaluation/report.html") < written("checkpoints/last.safetensors")
}

fn finish(judgement: &Judgement, out: &Path, overlays: usize) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{}: make", out.display()))?;
    let summary = judgement.summary();
    files::write(judgement, &summary, out, overlays)?;
    let page = out.join("report.html");
    std::fs::write(&page, report::html(judgement, &summary)?)
        .with_context(|| format!("{}: write", page.display()))?;
    print::print(judgement, &summary);
    outln!("\nreport in {}", page.display());
    Ok(())
}

/// The published figures: mean over batches of `batch_size` frames.
pub fn soft(predictions: &[Prediction], batch_size: usize) -> Figures {
    soft_sums(&predictions.iter().map(|p| p.sums).collect::<Vec<_>>(), batch_size)
}

fn soft_sums(frames: &[Sums], batch_size: usize) -> Figures {
    let batches = frames.chunks(batch_size).map(|batch| {
        let mut sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        for frame in batch {
            sums.both += frame.both;
            sums.truth += frame.truth;
            sums.predicted += frame.predicted;
        }
        sums.figures()
    });
    Figures::mean(&batches.collect::<Vec<_>>())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    pub use judgement::tests::{data, judgement};

    #[test]
    fn engines_are_named_as_in_configurations() {
        assert_eq!(named("int8"), Ok(Precision::Int8));
        assert_eq!(named("openvino"), Ok(Backend::Openvino));
        let error = named::<Precision>("fp64").unwrap_err();
        assert!(error.contains("fp64") && error.contains("`fp32`"), "{error}");
    }
}

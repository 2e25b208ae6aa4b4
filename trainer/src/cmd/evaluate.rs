//! `evaluate`: how well a trained network, or a bundle in an engine, does by frame and by patient.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::{Backend, EngineSettings, Precision, Provider};

use crate::data::{Dataset, Part, Split};
use crate::evaluate::{self, Evaluation, OpenedRun, Options};
use crate::metrics;
use crate::report;
use crate::train::Which;

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
found, yellow missed, green invented. `compare` compares two of these folders.

Several runs are folds of one data set. Each is evaluated on its own validation frames, and the figures
are over all of them. Without --threshold and --min-area, each fold takes the values that are best on the
validation frames of the others.")]
pub struct Arguments {
    /// Directory of the training run; several are folds
    #[arg(long, alias = "runs", value_name = "DIR", num_args = 1.., required_unless_present = "bundle")]
    run: Vec<PathBuf>,
    /// Evaluate this bundle in an engine; --run or --split says which frames are held out
    #[arg(long, value_name = "NAME.bundle")]
    bundle: Option<PathBuf>,
    /// Frames to evaluate on [default: the run's own]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// split.json whose frames to evaluate a bundle on
    #[arg(long, value_name = "FILE", requires = "bundle", conflicts_with = "run")]
    split: Option<PathBuf>,
    /// Which frames [default: the validation part of the data that was split, all of other data]
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Which checkpoint
    #[arg(long, value_enum, default_value_t = Which::Best, conflicts_with = "bundle")]
    checkpoint: Which,
    /// The bundle's model: fp32, fp16 or int8
    #[arg(long, default_value = "fp32", requires = "bundle")]
    precision: Precision,
    /// What runs the bundle: auto, onnx or openvino
    #[arg(long, default_value = "auto", requires = "bundle")]
    backend: Backend,
    /// Where ONNX Runtime runs it: cpu, cuda or tensorrt
    #[arg(long, default_value = "cpu", requires = "bundle")]
    provider: Provider,
    /// CPU threads of the engine, 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0, requires = "bundle")]
    threads: usize,
    /// libonnxruntime.so
    #[arg(long, value_name = "FILE", requires = "bundle")]
    library: Option<PathBuf>,
    /// Least probability that counts as nerve, 0..1 [default: the bundle's, or the best on the run's
    /// validation frames]
    #[arg(long, value_name = "P", value_parser = metrics::probability)]
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

impl Arguments {
    fn options(&self) -> Options {
        Options {
            part: self.part,
            checkpoint: self.checkpoint,
            threshold: self.threshold,
            min_area: self.min_area,
            tolerance: self.tolerance,
        }
    }

    fn engine(&self) -> EngineSettings {
        EngineSettings {
            precision: self.precision,
            backend: self.backend,
            provider: self.provider,
            threads: self.threads,
            library: self.library.clone(),
            ..Default::default()
        }
    }
}

/// Evaluates and writes the report.
pub fn run(arguments: &Arguments) -> Result<()> {
    let tolerance = arguments.tolerance;
    anyhow::ensure!(tolerance >= 0.0 && tolerance.is_finite(), "--tolerance {tolerance} is no distance");
    let runs: Vec<OpenedRun> =
        arguments.run.iter().map(|path| OpenedRun::open(path)).collect::<Result<_>>()?;
    let data = match (runs.first(), &arguments.data) {
        // With the corrections that the run was trained with.
        (Some(OpenedRun { run, settings, split }), data) => run.data(settings, split, data.as_deref())?,
        (None, Some(data)) => Dataset::load(data)?,
        (None, None) => bail!("name the frames to evaluate on: --data DIR, or --run of the bundle's run"),
    };
    let options = arguments.options();
    let evaluation = match (&arguments.bundle, &runs[..]) {
        (Some(path), [_, _, ..]) => bail!("{}: a bundle comes from one run; name one --run", path.display()),
        (Some(path), runs) => {
            let split = arguments.split.as_deref().map(Split::load).transpose()?;
            evaluate::evaluate_bundle(
                path,
                runs.first(),
                split.as_ref(),
                &data,
                &arguments.engine(),
                &options,
            )?
        }
        (None, [opened]) => evaluate::evaluate_run(opened, &data, &options)?,
        (None, runs) => evaluate::evaluate_folds(runs, &data, &options)?,
    };
    let out = match (&arguments.out, &arguments.bundle, &runs[..]) {
        (Some(out), ..) => out.clone(),
        (None, Some(path), _) => default_out(path, arguments),
        (None, None, [opened]) => opened.run.root().join("evaluation"),
        (None, None, _) => bail!("say with --out where the figures of several runs go"),
    };
    finish(&evaluation, &out, arguments.overlays)
}

/// Evaluates a run that has ended on its validation frames: what `evaluate --run` does.
pub fn of_run(root: &Path, data: &Dataset) -> Result<()> {
    #[derive(clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        arguments: Arguments,
    }
    let line = ["evaluate".as_ref(), "--run".as_ref(), root.as_os_str()];
    let Defaults { arguments } = clap::Parser::try_parse_from(line)?;
    let opened = OpenedRun::open(root)?;
    let evaluation = evaluate::evaluate_run(&opened, data, &arguments.options())?;
    finish(&evaluation, &root.join("evaluation"), arguments.overlays)
}

/// Whether [`of_run`] has yet to evaluate the run in `root` as it is: it was cut short, or the network was
/// trained on since.
pub fn is_due(root: &Path) -> bool {
    let written = |path: &str| std::fs::metadata(root.join(path)).and_then(|file| file.modified()).ok();
    written("evaluation/report.html") < written("checkpoints/last.safetensors")
}

fn finish(evaluation: &Evaluation, out: &Path, overlays: usize) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{}: make", out.display()))?;
    let summary = evaluation.summary();
    evaluate::write(evaluation, &summary, out, overlays)?;
    let page = out.join("report.html");
    std::fs::write(&page, report::html(evaluation, &summary)?)
        .with_context(|| format!("{}: write", page.display()))?;
    evaluate::print(evaluation, &summary);
    outln!("\nreport in {}", page.display());
    Ok(())
}

/// Where the figures of a bundle go.
fn default_out(path: &Path, arguments: &Arguments) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}-{}-{:?}.evaluation", arguments.precision, arguments.backend);
    path.with_file_name(name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn engines_are_named_as_in_configurations() {
        let parsed = |more: &[&str]| Line::try_parse_from([&["evaluate", "--bundle", "x"], more].concat());
        let arguments = parsed(&["--precision", "int8", "--backend", "openvino"]).unwrap().arguments;
        assert_eq!((arguments.precision, arguments.backend), (Precision::Int8, Backend::Openvino));
        let error = parsed(&["--precision", "fp64"]).unwrap_err().to_string();
        assert!(error.contains("fp64") && error.contains("`fp32`"), "{error}");
    }
}

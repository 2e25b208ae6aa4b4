//! The precisions of a bundle beside fp32: written, calibrated, and judged against it on frames held out.

mod calibration;
mod command;
mod histogram;
mod table;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nervelight_engines::bundle::Draft;
use nervelight_engines::golden::{self, Golden, min_dice};
use nervelight_engines::{Backend, Bundle, Engine, EngineSettings, Precision};

use crate::data::Frame;
use crate::evaluate;
use crate::fold::fold;
use crate::module::{self, Module, Parameters};
use crate::network::Network;
use crate::onnx::{LARGEST, MARGIN, Style, at_risk, half, int8};
use crate::point::{Hard, Point, outcomes};
use crate::predict::Prediction;
use crate::right_engine::{self, RightEngine};

use calibration::Calibration;
pub use calibration::choose;
pub use command::{Arguments, run};
use histogram::Method;
use table::Row;

/// TensorRT's file; [`Precision::onnx_file`] names those for ONNX Runtime.
const TENSORRT: &str = "int8-trt.onnx";

/// Frames by which a method of calibration is chosen for all layers.
const CHOICE: usize = 100;

/// What to write and how to judge it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Precisions to write; fp32 is always there, the others are measured against it
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fp32,fp16,int8",
          value_parser = evaluate::named::<Precision>)]
    precisions: Vec<Precision>,
    /// Frames of training patients to calibrate with
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    calibration_frames: u64,
    /// Frames held out to judge the precisions by, evenly over the patients
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..))]
    judged_frames: u64,
    /// Mean Dice that a precision may lose against fp32 on the judged frames; one that loses more is left out
    #[arg(long, value_name = "DICE", default_value_t = 0.01)]
    max_loss: f64,
    /// Precisions without which there is to be no bundle
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = evaluate::named::<Precision>)]
    require: Vec<Precision>,
}

impl Options {
    /// Whether there is more to write than fp32.
    pub fn any(&self) -> bool {
        self.precisions.iter().chain(&self.require).any(|precision| *precision != Precision::Fp32)
    }

    /// Whether fp32 alone would do.
    pub fn fp32_will_do(&self) -> bool {
        self.require.iter().all(|precision| *precision == Precision::Fp32)
    }

    fn wants(&self, precision: Precision) -> bool {
        self.precisions.contains(&precision) || self.require.contains(&precision)
    }
}

/// A trained network and the frames to quantise it with.
pub struct Job<'a> {
    /// As trained.
    pub network: &'a Network,
    /// On the device to calibrate on.
    pub parameters: &'a Parameters,
    /// Frames of training patients.
    pub training: &'a [&'a Frame],
    /// Frames of other patients.
    pub held_out: &'a [&'a Frame],
    /// libonnxruntime.so
    pub library: Option<PathBuf>,
}

/// A model in one precision, on its way into the bundle.
struct Candidate {
    /// In the bundle.
    file: &'static str,
    precision: Precision,
    model: Vec<u8>,
    /// What was decided.
    about: String,
}

/// Writes `bundle`, which has fp32 and golden frames, to `path` with the precisions asked for. One that loses more
/// than it may is left out, unless it is required. Prints one table of all.
pub fn extend(bundle: &Bundle, job: &Job, options: &Options, path: &Path) -> Result<Bundle> {
    let manifest = &bundle.manifest;
    let size = (manifest.geometry.height, manifest.geometry.width);
    let point = Point { threshold: manifest.threshold, min_area: manifest.min_area };
    let held_out = choose(job.held_out, options.judged_frames as usize);
    let (network, parameters) =
        fold(job.network, job.parameters).map_err(|name| anyhow!("the network lacks `{name}`"))?;
    let device = parameters.values().next().map_or(tch::Device::Cpu, tch::Tensor::device);
    let folded = Module::new(network, parameters, 0, module::Precision::Fp32, device);
    let training = choose(job.training, options.calibration_frames as usize);
    let calibration = Calibration::of(&folded, &training, size)?;

    let judge = Judge::new(bundle, point, job.library.clone())?;
    let fp32 = Precision::Fp32.onnx_file();
    let reference = judge.predict(Precision::Fp32, fp32, fp32, bundle.read(fp32)?, &held_out)?;
    let maker =
        Maker { folded: &folded, calibration: &calibration, size, judge: &judge, reference: &reference };
    let choice = choose(&held_out, CHOICE);
    let mut candidates = Vec::new();
    if options.wants(Precision::Fp16) {
        candidates.push(maker.half()?);
    }
    if options.wants(Precision::Int8) {
        candidates.push(maker.int8(Precision::Int8.onnx_file(), &Style::Cpu, &choice)?);
        let full = maker.at_risk();
        candidates.push(maker.int8(TENSORRT, &Style::TensorRt { full }, &choice)?);
    }
    let mut rows = vec![Row::new(Precision::Fp32, fp32, &reference, &reference, point, size.1)?];
    let mut draft_manifest = manifest.clone();
    draft_manifest.files.clear();
    let mut kept = vec![(fp32, bundle.read(fp32)?)];
    let mut lacking = Vec::new();
    for Candidate { file, precision, model, about } in candidates {
        let found = judge.predict(precision, file, file, model.clone(), &held_out)?;
        let mut row = Row::new(precision, file, &reference, &found, point, size.1)?;
        row.about = about;
        row.left_out = row.verdict(options.max_loss).err();
        match &row.left_out {
            Some(why) if options.require.contains(&precision) => lacking.push(format!("{file}: {why}")),
            Some(_) => {}
            None => {
                if let Some(dice) = row.dice() {
                    let name = format!("{}_dice", file.trim_end_matches(".onnx").replace('-', "_"));
                    draft_manifest.provenance.metrics.insert(name, dice);
                }
                kept.push((file, model));
            }
        }
        rows.push(row);
    }
    table::print(&rows, held_out.len(), training.len());
    if !lacking.is_empty() {
        bail!(
            "{}. It is required, so no bundle was written; leave --require out, or calibrate with more \
             --calibration-frames",
            lacking.join("; ")
        );
    }

    let mut draft = Draft::new(draft_manifest);
    for golden in bundle.golden()? {
        draft.golden(&golden)?;
    }
    for (file, model) in kept {
        draft.file(file, model);
    }
    Ok(draft.write(path)?)
}

/// Makes models of the other precisions.
struct Maker<'a> {
    folded: &'a Module,
    calibration: &'a Calibration,
    size: (usize, usize),
    judge: &'a Judge<'a>,
    /// fp32 on the frames held out.
    reference: &'a Predicted<'a>,
}

impl Maker<'_> {
    fn at_risk(&self) -> std::collections::BTreeSet<String> {
        at_risk(&self.folded.network, &self.folded.parameters, &self.calibration.largest)
    }

    fn half(&self) -> Result<Candidate> {
        let full = self.at_risk();
        let Module { network, parameters, .. } = self.folded;
        let model = half(network, parameters, self.size, &full);
        let most = self.calibration.largest.values().copied().fold(0.0, f64::max);
        let layers = match full.len() {
            0 => "no layer".to_owned(),
            _ => full.into_iter().collect::<Vec<_>>().join(", "),
        };
        Ok(Candidate {
            file: Precision::Fp16.onnx_file(),
            precision: Precision::Fp16,
            model: model.map_err(|name| anyhow!("fp16 lacks `{name}`"))?,
            about: format!(
                "largest value {most:.4}, {layers} kept in 32 bits ({MARGIN} times the value must stay under \
                 {LARGEST})"
            ),
        })
    }

    /// With the method of calibration that has the best Dice on `frames`.
    fn int8(&self, file: &'static str, style: &Style, frames: &[&Frame]) -> Result<Candidate> {
        let trial = style.on_cpu(&self.folded.network);
        let kind = kind(file, &trial, style);
        let scored = |method: Method| -> Result<Scored> {
            let model = self.model(file, method, &trial)?;
            let what = format!("{file}, calibration {method}");
            let found = self.judge.predict(Precision::Int8, &kind, &what, model, frames)?;
            let dice = self.dice(&found.predictions);
            // What no cart would run is taken only where there is nothing else.
            Ok(Scored { method, score: (found.golden >= min_dice(Precision::Int8), dice) })
        };
        let mut best: Option<Scored> = None;
        let mut about = Vec::new();
        for method in Method::ALL {
            let tried = scored(method)?;
            about.push(format!("{method} {:.4}", tried.score.1));
            if best.as_ref().is_none_or(|best| tried.score > best.score) {
                best = Some(tried);
            }
        }
        let best = best.context("no method of calibration")?;
        let names: Vec<&str> = frames.iter().map(|frame| frame.name.as_str()).collect();
        let wanted = self.reference.predictions.iter().filter(|p| names.contains(&p.frame.name.as_str()));
        let wanted = self.dice(wanted);
        about.push(format!("fp32 {wanted:.4}"));
        let about =
            format!("calibration {}. Dice on {} frames: {}", best.method, frames.len(), about.join(", "));
        let model = self.model(file, best.method, style)?;
        Ok(Candidate { file, precision: Precision::Int8, model, about })
    }

    /// Mean Dice over frames with nerve, or where none has any the part of them that is right.
    fn dice<'p, 'f: 'p>(&self, predictions: impl IntoIterator<Item = &'p Prediction<'f>>) -> f64 {
        let predictions: Vec<&Prediction> = predictions.into_iter().collect();
        let hard = Hard::of(&outcomes(&predictions, self.size.1, self.judge.point));
        hard.dice.or(hard.presence).unwrap_or(0.0)
    }

    fn model(&self, file: &str, method: Method, style: &Style) -> Result<Vec<u8>> {
        let Module { network, parameters, .. } = self.folded;
        let thresholds = self.calibration.thresholds(network, method, style);
        int8(network, parameters, self.size, &thresholds, style)
            .map_err(|name| anyhow!("{file} lacks `{name}`"))
    }
}

/// What to call models of `file`'s style when they are tried with the floats of `trial`.
fn kind(file: &str, trial: &Style, style: &Style) -> String {
    if trial == style { file.into() } else { format!("{file} (with floats of 32 bits)") }
}

/// A method of calibration and how it does: whether the golden frames pass, and Dice.
struct Scored {
    method: Method,
    score: (bool, f64),
}

/// Runs models in an engine that computes them right.
struct Judge<'a> {
    bundle: &'a Bundle,
    point: Point,
    golden: Vec<Golden>,
    settings: EngineSettings,
    /// What opens each kind of file here, once it has been compared with the file's own arithmetic.
    right: RefCell<BTreeMap<String, EngineSettings>>,
}

/// What an engine gave.
pub struct Predicted<'a> {
    pub predictions: Vec<Prediction<'a>>,
    /// Median time of a frame.
    pub milliseconds: f64,
    /// Least Dice on the golden frames against the map expected.
    pub golden: f64,
    /// Of the model's file.
    pub bytes: usize,
    /// The engine.
    pub engine: String,
}

impl<'a> Judge<'a> {
    fn new(bundle: &'a Bundle, point: Point, library: Option<PathBuf>) -> Result<Self> {
        let settings = EngineSettings { library, ..Default::default() };
        Ok(Self { bundle, point, golden: bundle.golden()?, settings, right: RefCell::default() })
    }

    /// `model` on `frames`. Models of one `kind` have the same operators; `what` is said while it computes.
    fn predict<'f>(
        &self,
        precision: Precision,
        kind: &str,
        what: &str,
        model: Vec<u8>,
        frames: &[&'f Frame],
    ) -> Result<Predicted<'f>> {
        let bytes = model.len();
        let mut engine = self.open(precision, kind, model)?;
        let (predictions, milliseconds) = evaluate::predict_frames(engine.as_mut(), what, frames)?;
        let golden = golden::compare(engine.as_mut(), &self.bundle.manifest, &self.golden)?;
        let golden = golden.iter().map(|compared| compared.dice).fold(1.0, f64::min);
        let engine = engine.info().name();
        Ok(Predicted { predictions, milliseconds, golden, bytes, engine })
    }

    fn open(&self, precision: Precision, kind: &str, model: Vec<u8>) -> Result<Box<dyn Engine>> {
        // Whatever its name in the bundle will be, here it has that which the engine asks for.
        let directory = tempfile::tempdir()?;
        let mut manifest = self.bundle.manifest.clone();
        manifest.files = BTreeMap::new();
        let mut draft = Draft::new(manifest);
        draft.file(precision.onnx_file(), model);
        let scratch = draft.write(&directory.path().join("scratch.bundle"))?;
        if let Some(settings) = self.right.borrow().get(kind) {
            return Ok(nervelight_engines::open(&scratch, settings)?);
        }
        // OpenVINO would compute bfloat16, which the file does not say.
        let backend = if precision == Precision::Fp16 { Backend::Onnx } else { Backend::Auto };
        let settings = EngineSettings { precision, backend, ..self.settings.clone() };
        let RightEngine { engine, settings, wrong } = right_engine::open(&scratch, &settings, &self.golden)?;
        for wrong in wrong {
            let wrong = wrong.replace(precision.onnx_file(), kind);
            errln!("warning: {wrong}. It is judged in {} instead", engine.info().name());
        }
        if let Some(settings) = settings {
            self.right.borrow_mut().insert(kind.to_owned(), settings);
        }
        Ok(engine)
    }
}

#[cfg(test)]
mod tests;

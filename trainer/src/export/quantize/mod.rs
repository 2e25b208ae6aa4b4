//! The precisions of a bundle beside fp32: calibrated, written, and compared with it on frames held out.

mod calibration;
mod histogram;
mod maker;
mod options;
mod table;
mod trial;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use nervelight_engines::bundle::Draft;
use nervelight_engines::{Bundle, Precision};

use crate::data::{Frame, spread_over_patients};
use crate::export::onnx::Style;
use crate::metrics::OperatingPoint;
use crate::net::{self, Module, Network, Parameters, fuse};

use calibration::Calibration;
use maker::{Candidate, Maker};
pub use options::Options;
use table::PrecisionResult;
use trial::Trials;

/// TensorRT's file; [`Precision::onnx_file`] names those for ONNX Runtime.
const TENSORRT: &str = "int8-trt.onnx";

/// Frames by which a method of calibration is chosen for all layers.
const CHOICE: usize = 100;

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

/// Writes `bundle`, which has fp32 and golden frames, to `path` with the precisions asked for. One that loses more
/// than it may is left out, unless it is required. Prints one table of all.
pub fn extend(bundle: &Bundle, job: &Job, options: &Options, path: &Path) -> Result<Bundle> {
    let manifest = &bundle.manifest;
    let size = (manifest.geometry.height, manifest.geometry.width);
    let point = OperatingPoint { threshold: manifest.threshold, min_area: manifest.min_area };
    let held_out = spread_over_patients(job.held_out, options.evaluation_frames as usize);
    let (network, parameters) =
        fuse(job.network, job.parameters).map_err(|name| anyhow!("the network lacks `{name}`"))?;
    let device = parameters.values().next().map_or(tch::Device::Cpu, tch::Tensor::device);
    let fused = Module::new(network, parameters, 0, net::NumberFormat::Fp32, device);
    let training = spread_over_patients(job.training, options.calibration_frames as usize);
    let calibration = Calibration::of(&fused, &training, size)?;

    let trials = Trials::new(bundle, point, job.library.clone())?;
    let fp32 = Precision::Fp32.onnx_file();
    let reference = trials.predict(Precision::Fp32, fp32, fp32, bundle.read(fp32)?, &held_out)?;
    let maker =
        Maker { fused: &fused, calibration: &calibration, size, trials: &trials, reference: &reference };
    let choice = spread_over_patients(&held_out, CHOICE);
    let mut candidates = Vec::new();
    if options.wants(Precision::Fp16) {
        candidates.push(maker.half()?);
    }
    if options.wants(Precision::Int8) {
        candidates.push(maker.int8(Precision::Int8.onnx_file(), &Style::Cpu, &choice)?);
        let full = maker.at_risk();
        candidates.push(maker.int8(TENSORRT, &Style::TensorRt { full }, &choice)?);
    }
    let mut rows = vec![PrecisionResult::new(Precision::Fp32, fp32, &reference, &reference, point, size.1)?];
    let mut draft_manifest = manifest.clone();
    draft_manifest.files.clear();
    // It is another bundle, and nobody has signed it yet.
    draft_manifest.serial = None;
    let mut kept = vec![(fp32, bundle.read(fp32)?)];
    let mut lacking = Vec::new();
    for Candidate { file, precision, model, about } in candidates {
        let found = trials.predict(precision, file, file, model.clone(), &held_out)?;
        let mut row = PrecisionResult::new(precision, file, &reference, &found, point, size.1)?;
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

#[cfg(test)]
mod tests;

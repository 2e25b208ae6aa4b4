//! Engines that compute what their model file says. A kernel that is wrong on this processor must not pass for a bad
//! model: ONNX Runtime up to 1.24 computed half-precision convolutions wrong on AMD's Zen 5.

use anyhow::Result;
use nervelight_engines::golden::Golden;
use nervelight_engines::{
    Backend, Bundle, Engine, EngineInfo, EngineSettings, Plane, Provider, plane, processor,
};

use super::reference::Reference;

/// Mean difference of bytes from the file's own arithmetic over which an engine is wrong. Sums in another order and
/// rounding to half precision move under 3 in a network of random weights; the kernels named above move 34.
const LIMIT: f64 = 6.0;

/// An engine that was compared with the file's own arithmetic.
pub struct CheckedEngine {
    pub engine: Box<dyn Engine>,
    /// What to open it with again; none where it is the file's own arithmetic.
    pub settings: Option<EngineSettings>,
    /// A sentence for each engine that was found wrong before.
    pub wrong: Vec<String>,
}

/// Golden frames by which an engine is compared with the file's own arithmetic.
const COMPARED: usize = 2;

/// Opens the first engine that `settings` stand for, or else ONNX Runtime on the CPU, whose maps of the first `golden` frames are those
/// of the file's own arithmetic; where none is right, that arithmetic itself, slowly. A file that this trainer did not
/// write is opened without a comparison.
///
/// # Errors
/// When none can be opened, or one fails on a frame.
pub fn open(bundle: &Bundle, settings: &EngineSettings, golden: &[Golden]) -> Result<CheckedEngine> {
    let crops: Vec<&Plane> = golden.iter().take(COMPARED).map(|golden| &*golden.crop).collect();
    let mut candidates = settings.candidates();
    let onnx = EngineSettings { backend: Backend::Onnx, provider: Provider::Cpu, ..settings.clone() };
    if !candidates.iter().any(|c| (c.backend, c.provider) == (onnx.backend, onnx.provider)) {
        candidates.push(onnx);
    }
    let file = settings.precision.file(settings.backend);
    let mut reference = reference(bundle, settings).ok();
    let expected = match &mut reference {
        Some(reference) => maps(reference, &crops)?,
        None => vec![],
    };
    let mut wrong = Vec::new();
    for (i, candidate) in candidates.iter().enumerate() {
        let mut engine = match nervelight_engines::open(bundle, candidate) {
            // What `auto` can do without; a backend that was asked for is there.
            Err(_) if settings.backend == Backend::Auto && i + 1 < candidates.len() => continue,
            opened => opened?,
        };
        if expected.is_empty() {
            return Ok(CheckedEngine { engine, settings: Some(candidate.clone()), wrong });
        }
        let found = maps(engine.as_mut(), &crops)?;
        let off = expected.iter().zip(&found).map(|(a, b)| mean_difference(a, b)).fold(0.0, f64::max);
        if off <= LIMIT {
            return Ok(CheckedEngine { engine, settings: Some(candidate.clone()), wrong });
        }
        wrong.push(format!(
            "{} on {} computes {file} wrong: its maps are off by {off:.1} of 255 on average from what the file \
             says, where rounding moves them by less than {LIMIT}",
            engine.info().name(),
            processor::name()
        ));
    }
    let Some(reference) = reference else { anyhow::bail!("{}", wrong.join("; ")) };
    Ok(CheckedEngine { engine: Box::new(reference), settings: None, wrong })
}

/// The arithmetic of the file that `settings` choose from `bundle`.
///
/// # Errors
/// When there is no such file or this trainer did not write it.
pub fn reference(bundle: &Bundle, settings: &EngineSettings) -> Result<Reference, String> {
    let info = EngineInfo {
        runtime: "libtorch".into(),
        provider: "the file's own arithmetic".into(),
        precision: settings.precision,
        threads: tch::get_num_threads() as usize,
        model: bundle.model(),
        digest: bundle.digest.clone(),
    };
    let file = settings.precision.file(settings.backend);
    Reference::read(&bundle.read(file).map_err(|e| e.to_string())?, info)
}

fn maps(engine: &mut dyn Engine, crops: &[&Plane]) -> Result<Vec<Box<Plane>>> {
    let maps = crops.iter().map(|crop| {
        let mut map = plane();
        engine.infer(crop, &mut map)?;
        Ok(map)
    });
    maps.collect()
}

/// Mean difference of two maps' bytes.
pub fn mean_difference(a: &Plane, b: &Plane) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

//! A bundle in an engine: the same figures for every precision and backend.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use nervelight_engines::{Bundle, Engine, EngineSettings, PIXELS, plane, processor};

use super::judgement::{Case, Judgement, Speed, data_facts, split_facts, warnings};
use super::{Arguments, Opened, select};
use crate::data::{Dataset, Frame, Split};
use crate::judge::Ruler;
use crate::metrics::Sums;
use crate::point::Point;
use crate::predict::Prediction;
use crate::progress::Progress;
use crate::right_engine::{self, RightEngine};

/// Frames in a batch of the soft figures, as published.
const BATCH: usize = 10;

/// Judges what an engine computes from the bundle.
pub fn judge<'a>(
    path: &Path,
    run: Option<&Opened>,
    data: &'a Dataset,
    arguments: &Arguments,
) -> Result<Judgement<'a>> {
    let bundle = Bundle::open(path)?;
    let read = arguments.split.as_deref().map(Split::load).transpose()?;
    let split = read.as_ref().or(run.map(|opened| &opened.split));
    let frames = match split {
        Some(split) => select(data, split, arguments.part)?,
        None => data.frames.iter().collect(),
    };
    let settings = EngineSettings {
        precision: arguments.precision,
        backend: arguments.backend,
        provider: arguments.provider,
        threads: arguments.threads,
        library: arguments.library.clone(),
        ..Default::default()
    };
    let RightEngine { mut engine, wrong, .. } = right_engine::open(&bundle, &settings, &bundle.golden()?)?;
    let (predictions, milliseconds) = predict(engine.as_mut(), "predict", &frames)?;
    let manifest = &bundle.manifest;
    let point = Point {
        threshold: arguments.threshold.unwrap_or(manifest.threshold),
        min_area: arguments.min_area.unwrap_or(manifest.min_area),
    };
    let given = [arguments.threshold.is_some(), arguments.min_area.is_some()];
    let own = manifest.provenance.data_digest == data.digest;
    let origin = match (given, own) {
        ([true, true], _) => "given on the command line",
        (_, false) => "the bundle's, which was not chosen on these frames",
        (_, true) => "the bundle's, which its export chose on validation frames of this very data",
    };
    let info = engine.info().clone();
    let used = info.name();
    let wrong = wrong.into_iter().map(|wrong| format!("WRONG ENGINE: {wrong}. Judged in {used} instead"));
    let mut facts = vec![
        ("bundle", format!("{} {}, digest {}", path.display(), info.model, bundle.digest)),
        ("network", manifest.provenance.network.clone()),
        ("trained by revision", manifest.provenance.revision.clone()),
        ("trained with seed", manifest.provenance.seed.to_string()),
        ("trained on data", manifest.provenance.data_digest.clone()),
        (
            "engine",
            format!("{}, {}, {}, {} threads", info.runtime, info.provider, info.precision, info.threads),
        ),
        ("processor", processor::name()),
        ("time", format!("median {milliseconds:.1} ms a frame")),
        ("soft figures", "from the engine's maps of 8 bits".into()),
    ];
    facts.extend(data_facts(data, &frames));
    if let Some(split) = split {
        facts.extend(split_facts(split, data)?);
    }
    let ruler = Ruler { width: data.width, height: data.height, tolerance: arguments.tolerance };
    Ok(Judgement {
        title: format!("{} as {} on {}", info.model, info.precision, info.provider).to_lowercase(),
        warnings: wrong.chain(what_it_saw(&bundle, split, data, &frames)?).collect(),
        facts,
        origin: origin.into(),
        cases: Case::all(predictions, point, ruler),
        ruler,
        batch_size: run.map_or(BATCH, |opened| opened.settings.batch_size),
        engine: Some(Speed { info, milliseconds }),
        runs: run.map(|opened| opened.run.root().into()).into_iter().collect(),
        data: data.digest.clone(),
    })
}

/// Where the figures of a bundle go.
pub fn default_out(path: &Path, arguments: &Arguments) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}-{}-{:?}.evaluation", arguments.precision, arguments.backend);
    path.with_file_name(name.to_lowercase())
}

fn what_it_saw(
    bundle: &Bundle,
    split: Option<&Split>,
    data: &Dataset,
    frames: &[&Frame],
) -> Result<Vec<String>> {
    let provenance = &bundle.manifest.provenance;
    Ok(match split {
        Some(split) if split.digest() == provenance.split_digest => warnings(split, data, frames)?,
        Some(split) => {
            let mut warnings = warnings(split, data, frames)?;
            warnings.push(
                "MAY BE SEEN IN TRAINING: the bundle was trained on another split than the one given".into(),
            );
            warnings
        }
        None if provenance.data_digest == data.digest => vec![
            "SEEN IN TRAINING: the bundle was trained on a part of these frames; name its --run or --split \
             to judge by the others"
                .into(),
        ],
        None => vec![],
    })
}

/// Every frame through the engine, and the median time of one in milliseconds.
/// `what` is said meanwhile.
pub fn predict<'a>(
    engine: &mut dyn Engine,
    what: &str,
    frames: &[&'a Frame],
) -> Result<(Vec<Prediction<'a>>, f64)> {
    let (mut crop, mut map) = (plane(), plane());
    let (mut predictions, mut times) = (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    let mut progress = Progress::new(what, 0, frames.len());
    for &frame in frames {
        anyhow::ensure!(frame.luma.len() == PIXELS, "{}: is no crop of the contract's size", frame.name);
        crop.copy_from_slice(&frame.luma);
        let begun = Instant::now();
        engine.infer(&crop, &mut map).with_context(|| format!("frame {}", frame.name))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        predictions.push(Prediction { frame, map: map.to_vec(), sums: sums(&map[..], &frame.nerve) });
        progress.advance(1);
    }
    progress.finish();
    times.sort_by(f64::total_cmp);
    Ok((predictions, times.get(times.len() / 2).copied().unwrap_or(0.0)))
}

/// Soft sums of a map of bytes.
fn sums(map: &[u8], nerve: &[u8]) -> Sums {
    let (mut both, mut truth, mut predicted) = (0u64, 0u64, 0u64);
    for (&byte, &nerve) in map.iter().zip(nerve) {
        truth += u64::from(nerve);
        predicted += u64::from(byte);
        both += u64::from(byte) * u64::from(nerve);
    }
    Sums { both: both as f64 / 255.0, truth: truth as f64, predicted: predicted as f64 / 255.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_bytes_are_sums_of_probabilities() {
        let sums = sums(&[255, 51, 102, 0], &[1, 1, 0, 1]);
        assert_eq!(sums, Sums { both: 1.2, truth: 3.0, predicted: 1.6 });
    }
}

//! Evaluates a bundle in an engine; the figures are the same for every precision and backend.

use std::path::Path;

use anyhow::Result;
use nervelight_engines::{Bundle, EngineSettings, processor};

use super::checked_engine::{self, CheckedEngine};
use super::engine::predict;

use super::evaluation::{Case, Evaluation, Speed, data_facts, split_facts, warnings};
use super::options::{OpenedRun, Options};
use crate::data::{Dataset, Frame, Split, select};
use crate::metrics::{OperatingPoint, Ruler};

/// Frames in a batch of the soft figures, as published.
const BATCH: usize = 10;

/// Evaluates what an engine computes from the bundle.
pub fn evaluate<'a>(
    path: &Path,
    run: Option<&OpenedRun>,
    split: Option<&Split>,
    data: &'a Dataset,
    settings: &EngineSettings,
    options: &Options,
) -> Result<Evaluation<'a>> {
    let bundle = Bundle::open(path)?;
    let split = split.or(run.map(|opened| &opened.split));
    let frames = match split {
        Some(split) => select(data, split, options.part)?,
        None => data.frames.iter().collect(),
    };
    let CheckedEngine { mut engine, wrong, .. } = checked_engine::open(&bundle, settings, &bundle.golden()?)?;
    let (predictions, milliseconds) = predict(engine.as_mut(), "predict", &frames)?;
    let manifest = &bundle.manifest;
    let point = OperatingPoint {
        threshold: options.threshold.unwrap_or(manifest.threshold),
        min_area: options.min_area.unwrap_or(manifest.min_area),
    };
    let given = [options.threshold.is_some(), options.min_area.is_some()];
    let own = manifest.provenance.data_digest == data.digest;
    let origin = match (given, own) {
        ([true, true], _) => "given on the command line",
        (_, false) => "the bundle's, which was not chosen on these frames",
        (_, true) => "the bundle's, which its export chose on validation frames of this very data",
    };
    let info = engine.info().clone();
    let used = info.name();
    let wrong = wrong.into_iter().map(|wrong| format!("WRONG ENGINE: {wrong}. Evaluated in {used} instead"));
    let mut facts = vec![
        ("bundle", format!("{} {}, digest {}", path.display(), info.model, bundle.digest)),
        ("network", manifest.provenance.network.clone()),
        ("weights", manifest.files.get("fp32.onnx").map_or_else(String::new, |file| file.sha256.clone())),
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
    let ruler = Ruler { width: data.width, height: data.height, tolerance: options.tolerance };
    Ok(Evaluation {
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
             to evaluate on the others"
                .into(),
        ],
        None => vec![],
    })
}

//! Evaluates the trained network of one run.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nervelight_engines::digest::sha256_of;

use super::evaluation::{Case, Evaluation, data_facts, split_facts, warnings};
use super::options::{OpenedRun, Options};
use crate::data::{Dataset, select};
use crate::metrics;
use crate::metrics::Ruler;
use crate::metrics::{Prediction, predict};
use crate::train::trained;

/// Evaluates the run's checkpoint.
pub fn evaluate<'a>(opened: &OpenedRun, data: &'a Dataset, options: &Options) -> Result<Evaluation<'a>> {
    let OpenedRun { run, settings, split } = opened;
    let frames = select(data, split, options.part)?;
    let module = trained(run, settings, options.checkpoint, settings.device()?)?;
    let predictions = predict(&module, &frames, (data.height, data.width), settings.batch_size)?;
    let choose = |evaluated: &[Prediction<'_>]| {
        metrics::choose(evaluated, data.width, options.threshold, options.min_area)
    };
    let (point, origin) = if options.threshold.is_some() && options.min_area.is_some() {
        (choose(&predictions), "given on the command line")
    } else if split.data == data.digest {
        (
            choose(&predictions),
            "chosen on these very frames, so the figures flatter a little; --threshold and --min-area set \
             it without them",
        )
    } else {
        // Chosen on the frames it is evaluated on, a point would flatter.
        let own = run
            .data(settings, split, None)
            .context("threshold and least area are chosen on the run's own data; or give both")?;
        let validation = split.frames(&own)?.1;
        let predictions = predict(&module, &validation, (own.height, own.width), settings.batch_size)?;
        (choose(&predictions), "chosen on the run's validation frames, which are other data than these")
    };
    let ruler = Ruler { width: data.width, height: data.height, tolerance: options.tolerance };
    let checkpoint = format!("{:?}", options.checkpoint).to_lowercase();
    let mut facts = vec![
        ("run", format!("{}, {checkpoint} checkpoint", run.root().display())),
        ("network", format!("{} at width {}, 32-bit", module.network.name, module.network.width)),
        ("weights", weights(&run.checkpoint(options.checkpoint))?),
        ("evaluated by revision", env!("NERVELIGHT_REVISION").into()),
    ];
    facts.extend(data_facts(data, &frames));
    facts.extend(split_facts(split, data)?);
    Ok(Evaluation {
        title: run.root().display().to_string(),
        warnings: warnings(split, data, &frames)?,
        facts,
        origin: origin.into(),
        cases: Case::all(predictions, point, ruler),
        ruler,
        batch_size: settings.batch_size,
        engine: None,
        runs: vec![run.root().into()],
        data: data.digest.clone(),
    })
}

/// SHA-256 of the checkpoint.
fn weights(path: &Path) -> Result<String> {
    let digest = File::open(path).and_then(sha256_of);
    digest.with_context(|| format!("{}: read", path.display()))
}

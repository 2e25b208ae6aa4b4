//! Evaluates several runs that are folds of one data set, each on the frames that it did not see.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::evaluation::{Case, Evaluation, data_facts, split_facts, warnings};
use super::options::{OpenedRun, Options};
use crate::data::{Dataset, Split, SplitBy};
use crate::metrics;
use crate::metrics::Ruler;
use crate::metrics::{Prediction, predict};
use crate::train::trained;

/// Evaluates the validation frames of every run.
pub fn evaluate<'a>(runs: &[OpenedRun], data: &'a Dataset, options: &Options) -> Result<Evaluation<'a>> {
    if options.part.is_some() {
        bail!("--part is for one run; folds are evaluated on their validation frames");
    }
    let splits: Vec<(String, &Split)> =
        runs.iter().map(|opened| (opened.run.root().display().to_string(), &opened.split)).collect();
    check(&splits, data)?;
    let mut folds = Vec::new();
    let (mut facts, mut said, mut frames) = (Vec::new(), BTreeSet::new(), Vec::new());
    for (opened, (name, split)) in runs.iter().zip(&splits) {
        let validation = split.frames(data)?.1;
        let module = trained(&opened.run, &opened.settings, options.checkpoint, opened.settings.device()?)?;
        folds.push(predict(&module, &validation, (data.height, data.width), opened.settings.batch_size)?);
        facts.push(("fold", format!("{name}: {} at width {}", module.network.name, module.network.width)));
        facts.extend(split_facts(split, data)?);
        said.extend(warnings(split, data, &validation)?);
        frames.extend(validation);
    }
    facts.extend(data_facts(data, &frames));
    let given = options.threshold.is_some() && options.min_area.is_some();
    let origin = if given {
        "given on the command line"
    } else {
        "each fold's chosen on the validation frames of the other folds"
    };
    let ruler = Ruler { width: data.width, height: data.height, tolerance: options.tolerance };
    let points: Vec<_> = (0..folds.len())
        .map(|fold| {
            let others: Vec<&Prediction> =
                folds.iter().enumerate().filter(|(i, _)| *i != fold).flat_map(|(_, others)| others).collect();
            metrics::choose(&others, data.width, options.threshold, options.min_area)
        })
        .collect();
    let cases =
        folds.into_iter().zip(points).flat_map(|(fold, point)| Case::all(fold, point, ruler)).collect();
    Ok(Evaluation {
        title: format!("{} folds", runs.len()),
        warnings: said.into_iter().collect(),
        facts,
        origin: origin.into(),
        cases,
        ruler,
        batch_size: runs.first().map_or(1, |opened| opened.settings.batch_size),
        engine: None,
        runs: runs.iter().map(|opened| opened.run.root().into()).collect(),
        data: data.digest.clone(),
    })
}

/// Folds must divide the same data; none may evaluate a frame twice, or a patient that it trained on.
fn check(splits: &[(String, &Split)], data: &Dataset) -> Result<()> {
    let mut evaluated = BTreeMap::<&str, &str>::new();
    for (name, split) in splits {
        if split.data != data.digest {
            bail!("{name}: was trained on other frames than these; folds divide one data set");
        }
        let (train, validation) = split.frames(data).with_context(|| name.clone())?;
        for frame in &validation {
            if let Some(other) = evaluated.insert(&frame.name, name) {
                bail!(
                    "frame {} is evaluated by {other} and by {name}; name the runs of one division into folds",
                    frame.name
                );
            }
        }
        let known: BTreeSet<u32> = train.iter().map(|frame| frame.patient).collect();
        // Of a split by frame that is known, and said with every figure.
        let crossing = validation.iter().find(|f| split.by != SplitBy::Frame && known.contains(&f.patient));
        if let Some(frame) = crossing {
            bail!(
                "{name}: was trained on frames of patient {}, whom it is to evaluate; train it anew",
                frame.patient
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::tests::{data, split};
    use super::*;

    #[test]
    fn folds_divide_one_data_set_and_judge_nobody_they_know() {
        let data = data(3, 2);
        let good = [1, 2, 3].map(|held| split(&data, SplitBy::Patient, held));
        let says = |splits: &[&Split]| {
            let named: Vec<_> = (1..).zip(splits).map(|(i, split)| (format!("fold{i}"), *split)).collect();
            check(&named, &data).map_err(|error| error.to_string())
        };
        assert_eq!(says(&[&good[0], &good[1], &good[2]]), Ok(()));
        let twice = says(&[&good[0], &good[0]]).unwrap_err();
        assert!(twice.contains("frame 1_0") && twice.contains("fold1 and by fold2"), "{twice}");
        let other = Split { data: "other".into(), ..good[0].clone() };
        assert!(says(&[&good[1], &other]).unwrap_err().contains("fold2: was trained on other frames"));
        let mut crossing = good[0].clone();
        crossing.folds = vec![vec!["1_0".into(), "2_0".into()], vec!["1_1".into(), "2_1".into()]];
        assert!(says(&[&crossing]).unwrap_err().contains("fold1: was trained on frames of patient 1"));
        crossing.by = SplitBy::Frame;
        assert_eq!(says(&[&crossing]), Ok(()));
    }
}

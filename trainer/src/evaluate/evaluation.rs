//! An evaluation: its frames, and what a reader must know beside the figures.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nervelight_engines::EngineInfo;
use rayon::prelude::*;
use serde::Serialize;

use crate::data::{Dataset, Frame, Split, SplitBy, SplitError};
use crate::metrics::OperatingPoint;
use crate::metrics::Prediction;
use crate::metrics::{FrameMetrics, Reliability, Ruler, Summary};
use crate::metrics::{SoftMetrics, soft};

/// What was evaluated, and how.
pub struct Evaluation<'a> {
    /// What was evaluated.
    pub title: String,
    /// What makes the figures better than the truth; shown with every table.
    pub warnings: Vec<String>,
    /// Where everything comes from: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// How the operating point was chosen.
    pub origin: String,
    pub cases: Vec<Case<'a>>,
    pub ruler: Ruler,
    /// Frames in a batch of the soft figures.
    pub batch_size: usize,
    /// What computed the maps; none for the trained network itself.
    pub engine: Option<Speed>,
    /// Directories of the training runs.
    pub runs: Vec<PathBuf>,
    /// Digest of the data evaluated on.
    pub data: String,
}

/// One frame: its map, its operating point and its figures.
pub struct Case<'a> {
    pub prediction: Prediction<'a>,
    pub point: OperatingPoint,
    pub scored: FrameMetrics,
}

/// An engine, and how fast it was.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    #[serde(flatten)]
    pub info: EngineInfo,
    /// Median over the frames.
    pub milliseconds: f64,
}

impl<'a> Case<'a> {
    /// Evaluates `predictions` at `point`.
    pub fn all(predictions: Vec<Prediction<'a>>, point: OperatingPoint, ruler: Ruler) -> Vec<Self> {
        let case =
            |prediction| Self { scored: FrameMetrics::of(&prediction, point, ruler), point, prediction };
        predictions.into_par_iter().map(case).collect()
    }
}

impl Evaluation<'_> {
    /// Every figure.
    pub fn summary(&self) -> Summary {
        let scored: Vec<FrameMetrics> = self.cases.iter().map(|case| case.scored.clone()).collect();
        let calibration = Reliability::of(self.cases.par_iter().map(|case| &case.prediction));
        Summary::of(&scored, self.ruler, calibration)
    }

    /// The published figures.
    pub fn soft(&self) -> SoftMetrics {
        soft(self.cases.iter().map(|case| case.prediction.sums), self.batch_size)
    }

    /// The operating points used; more than one only for folds.
    pub fn points(&self) -> Vec<OperatingPoint> {
        let mut points: Vec<OperatingPoint> = self.cases.iter().map(|case| case.point).collect();
        points.dedup();
        points
    }

    /// Cases from worst to best: by Dice, then by pixels that are wrong.
    pub fn worst_first(&self) -> Vec<&Case<'_>> {
        let mut cases: Vec<&Case> = self.cases.iter().collect();
        let wrong = |case: &Case| {
            let o = case.scored.outcome;
            o.truth + o.shown - 2 * o.both
        };
        cases.sort_by(|a, b| {
            let [x, y] = [a, b].map(|case| case.scored.outcome.dice());
            x.total_cmp(&y).then(wrong(b).cmp(&wrong(a)))
        });
        cases
    }
}

/// What must be said of `frames` of `data` when `split` was trained on.
pub fn warnings(split: &Split, data: &Dataset, frames: &[&Frame]) -> Result<Vec<String>, SplitError> {
    if split.data != data.digest {
        return Ok(vec![]);
    }
    let train: BTreeSet<&str> = split.frames(data)?.0.iter().map(|frame| frame.name.as_str()).collect();
    let seen = frames.iter().filter(|frame| train.contains(frame.name.as_str())).count();
    let mut warnings = vec![];
    if seen > 0 {
        warnings.push(format!(
            "SEEN IN TRAINING: the network was trained on {seen} of these {} frames; the figures say nothing \
             about others",
            frames.len()
        ));
    }
    if split.by == SplitBy::Frame {
        warnings.push(
            "LEAKY: split by frame: other frames of the same patients were trained on, so the figures are \
             better than on a new patient"
                .into(),
        );
    }
    Ok(warnings)
}

/// What is to be known about `split`; the counts where it divides `data`.
pub fn split_facts(split: &Split, data: &Dataset) -> Result<Vec<(&'static str, String)>, SplitError> {
    let by = match split.by {
        SplitBy::Frame => "frame (leaky)",
        SplitBy::Patient => "patient",
    };
    let mut text = format!("by {by}, seed {}, fold {} of {}", split.seed, split.fold, split.folds.len());
    if split.data == data.digest {
        let (train, validation) = split.frames(data)?;
        text += &format!(": {} frames to train, {} to validate", train.len(), validation.len());
    }
    Ok(vec![("split", text), ("split digest", split.digest())])
}

/// The data evaluated on.
pub fn data_facts(data: &Dataset, frames: &[&Frame]) -> Vec<(&'static str, String)> {
    let patients: BTreeSet<u32> = frames.iter().map(|frame| frame.patient).collect();
    let mut facts = vec![
        ("judged", format!("{} frames of {} patients", frames.len(), patients.len())),
        ("data digest", data.digest.clone()),
        ("program", format!("nervelight-train {}", env!("NERVELIGHT_REVISION"))),
    ];
    if let Some(applied) = &data.corrections {
        facts.push(("corrections", format!("digest {}", applied.corrections.digest)));
    }
    facts
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::metrics::Sums;

    /// Frames of 4x2 pixels: `patients` with `each` frames, the last of each without nerve.
    pub fn data(patients: u32, each: u32) -> Dataset {
        let frame = |patient, n| Frame {
            name: format!("{patient}_{n}"),
            patient,
            luma: [9; 8].into(),
            nerve: [u8::from(n + 1 < each); 8].into(),
        };
        Dataset {
            frames: (1..=patients).flat_map(|p| (0..each).map(move |n| frame(p, n))).collect(),
            height: 2,
            width: 4,
            digest: "d".into(),
            corrections: None,
        }
    }

    /// Patient `held_out` validates, the others train.
    pub fn split(data: &Dataset, by: SplitBy, held_out: u32) -> Split {
        let names = |held: bool| -> Vec<String> {
            let frames = data.frames.iter().filter(|f| (f.patient == held_out) == held);
            frames.map(|f| f.name.clone()).collect()
        };
        let folds = vec![names(true), names(false)];
        Split { by, seed: 1, data: data.digest.clone(), fold: 1, positives_only: false, folds }
    }

    /// Patient 1's nerve found whole and patient 2's missed, of a split by frame.
    pub fn evaluation(data: &Dataset) -> Evaluation<'_> {
        let ruler = Ruler { width: 4, height: 2, tolerance: 1.0 };
        let point = OperatingPoint { threshold: 0.5, min_area: 1 };
        let prediction =
            |frame: &'_ Frame| (frame.patient == 1).then(|| frame.nerve.iter().map(|n| n * 255).collect());
        let predictions = data.frames.iter().map(|frame| Prediction {
            frame,
            map: prediction(frame).unwrap_or_else(|| vec![0; 8]),
            sums: Sums { both: 0.0, truth: 8.0, predicted: 0.0 },
        });
        let frames: Vec<&Frame> = data.frames.iter().collect();
        Evaluation {
            title: "runs/<first>".into(),
            warnings: warnings(&split(data, SplitBy::Frame, 1), data, &frames).unwrap()[1..].to_vec(),
            facts: data_facts(data, &frames),
            origin: "given".into(),
            cases: Case::all(predictions.collect(), point, ruler),
            ruler,
            batch_size: 2,
            engine: None,
            runs: vec![],
            data: data.digest.clone(),
        }
    }

    #[test]
    fn leaks_are_named() {
        let data = data(3, 2);
        let of = |by, frames: &[&Frame]| warnings(&split(&data, by, 1), &data, frames).unwrap();
        let held: Vec<&Frame> = data.frames.iter().filter(|f| f.patient == 1).collect();
        let all: Vec<&Frame> = data.frames.iter().collect();
        assert!(of(SplitBy::Patient, &held).is_empty());
        assert!(of(SplitBy::Frame, &held)[0].starts_with("LEAKY: split by frame"));
        let seen = of(SplitBy::Patient, &all);
        assert!(seen[0].starts_with("SEEN IN TRAINING") && seen[0].contains("4 of these 6"), "{seen:?}");
        assert_eq!(of(SplitBy::Frame, &all).len(), 2);
        let other = Split { data: "other".into(), ..split(&data, SplitBy::Frame, 1) };
        assert!(warnings(&other, &data, &all).unwrap().is_empty());
    }
}

//! `evaluate`: how well a trained network does, by frame and by patient.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rayon::prelude::*;

use crate::data::{Dataset, Frame, Split};
use crate::metrics::{Figures, Sums};
use crate::overlay::overlay;
use crate::point::{self, Hard, Outcome, Point};
use crate::predict::{Prediction, Which, predict, trained};
use crate::run::RunDir;

/// Arguments of `evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train evaluate --run runs/first
  nervelight-train evaluate --run runs/first --data data/unseen --out runs/first/unseen
  nervelight-train evaluate --run runs/first --threshold 0.5 --min-area 400 --overlays 200

Writes summary.json, frames.csv, patients.csv and overlays/, worst frames first: purple found,
yellow missed, green invented.")]
pub struct Arguments {
    /// Directory of the training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Frames to judge by [default: the run's own]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which frames [default: the validation part of the run's own data, all of other data]
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Which checkpoint
    #[arg(long, value_enum, default_value_t = Which::Best)]
    checkpoint: Which,
    /// Least probability that counts as nerve, 0..1 [default: the best on the run's validation frames]
    #[arg(long, value_name = "P", value_parser = point::probability)]
    threshold: Option<f32>,
    /// Least area of a nerve in pixels [default: the best on the run's validation frames]
    #[arg(long, value_name = "PIXELS")]
    min_area: Option<u32>,
    /// Overlay pictures to write, worst first
    #[arg(long, value_name = "N", default_value_t = 50)]
    overlays: usize,
    /// Where to write [default: folder `evaluation` of the run]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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

/// Judges and writes the report.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (run, settings, split) = RunDir::open(&arguments.run)?;
    let data = run.data(&settings, &split, arguments.data.as_deref())?;
    let frames = select(&data, &split, arguments.part)?;
    let module = trained(&run, &settings, arguments.checkpoint, settings.device()?)?;
    let predictions = predict(&module, &frames, (data.height, data.width), settings.batch_size)?;
    let choose = |judged: &[Prediction<'_>]| {
        point::choose(judged, data.width, arguments.threshold, arguments.min_area)
    };
    let is_given = arguments.threshold.is_some() && arguments.min_area.is_some();
    let point = if is_given || split.data == data.digest {
        choose(&predictions)
    } else {
        // Chosen on the frames it is judged by, a point would flatter.
        let own = run
            .data(&settings, &split, None)
            .context("threshold and least area are chosen on the run's own data; or give both")?;
        let validation = split.frames(&own)?.1;
        choose(&predict(&module, &validation, (own.height, own.width), settings.batch_size)?)
    };
    let outcomes = point::outcomes(&predictions, data.width, point);
    let hard = Hard::of(&outcomes);
    let soft = soft(&predictions, settings.batch_size);

    let out = arguments.out.clone().unwrap_or_else(|| run.root().join("evaluation"));
    std::fs::create_dir_all(&out).with_context(|| format!("{}: make", out.display()))?;
    let soft_by_name: BTreeMap<_, _> = Figures::NAMES.into_iter().zip(soft.values()).collect();
    let summary = serde_json::json!({ "point": point, "hard": hard, "soft": soft_by_name });
    write(&out.join("summary.json"), &serde_json::to_string_pretty(&summary)?)?;
    write(&out.join("frames.csv"), &frames_csv(&predictions, &outcomes))?;
    let patients = by_patient(&predictions, &outcomes);
    write(&out.join("patients.csv"), &patients_csv(&patients))?;
    let judged = Judged { predictions: &predictions, outcomes: &outcomes, width: data.width, point };
    judged.write_overlays(&out.join("overlays"), arguments.overlays)?;
    print_report(&patients, &hard, &soft, point);
    println!("\nreport in {}", out.display());
    Ok(())
}

/// The published figures: mean over batches of `batch_size` frames.
pub fn soft(predictions: &[Prediction], batch_size: usize) -> Figures {
    let batches = predictions.chunks(batch_size).map(|batch| {
        let mut sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        for prediction in batch {
            sums.both += prediction.sums.both;
            sums.truth += prediction.sums.truth;
            sums.predicted += prediction.sums.predicted;
        }
        sums.figures()
    });
    Figures::mean(&batches.collect::<Vec<_>>())
}

fn by_patient(predictions: &[Prediction], outcomes: &[Outcome]) -> Vec<(u32, Hard)> {
    let mut patients = BTreeMap::<u32, Vec<Outcome>>::new();
    for (prediction, outcome) in predictions.iter().zip(outcomes) {
        patients.entry(prediction.frame.patient).or_default().push(*outcome);
    }
    patients.into_iter().map(|(patient, outcomes)| (patient, Hard::of(&outcomes))).collect()
}

fn patients_csv(patients: &[(u32, Hard)]) -> String {
    let mut text = "patient,frames,nerve_frames,dice,iou,presence,sensitivity,specificity\n".to_owned();
    for (patient, h) in patients {
        let figures = [h.dice, h.iou, h.presence, h.sensitivity, h.specificity];
        let figures = figures.map(|f| f.map(|f| format!("{f:.4}")).unwrap_or_default()).join(",");
        text += &format!("{patient},{},{},{figures}\n", h.frames, h.nerve_frames);
    }
    text
}

fn frames_csv(predictions: &[Prediction], outcomes: &[Outcome]) -> String {
    let soft = Figures::NAMES.map(|name| format!("soft_{name}")).join(",");
    let mut text = format!("frame,patient,truth_pixels,shown_pixels,both_pixels,dice,{soft}\n");
    for (p, o) in predictions.iter().zip(outcomes) {
        let soft = p.sums.figures().values().map(|v| format!("{v:.5}")).join(",");
        let Frame { name, patient, .. } = p.frame;
        text += &format!("{name},{patient},{},{},{},{:.4},{soft}\n", o.truth, o.shown, o.both, o.dice());
    }
    text
}

/// Frames with their outcome at an operating point.
struct Judged<'a> {
    predictions: &'a [Prediction<'a>],
    outcomes: &'a [Outcome],
    width: usize,
    point: Point,
}

impl Judged<'_> {
    /// Writes the `count` worst frames; file names begin with the rank.
    fn write_overlays(&self, folder: &Path, count: usize) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: make", folder.display()))?;
        // Pictures of an earlier evaluation would mix with these.
        remove_overlays(folder).with_context(|| format!("{}: clear", folder.display()))?;
        let mut order: Vec<usize> = (0..self.outcomes.len()).collect();
        let wrong = |o: &Outcome| o.truth + o.shown - 2 * o.both;
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.outcomes[a], &self.outcomes[b]);
            a.dice().total_cmp(&b.dice()).then(wrong(b).cmp(&wrong(a)))
        });
        order.into_par_iter().take(count).enumerate().try_for_each(|(rank, i)| {
            let Prediction { frame, map, .. } = &self.predictions[i];
            let shown = point::shown(map, self.width, self.point);
            let name = format!("{:04}_{}_dice{:.2}.png", rank + 1, frame.name, self.outcomes[i].dice());
            let path = folder.join(name);
            let picture = overlay(&frame.luma, &frame.nerve, &shown, self.width);
            picture.save(&path).with_context(|| format!("{}: write", path.display()))
        })
    }
}

/// Removes what [`Judged::write_overlays`] wrote, and nothing else.
fn remove_overlays(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_overlay(&entry.file_name().to_string_lossy()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// `0001_12_34_dice0.25.png`: rank, frame, Dice.
fn is_overlay(name: &str) -> bool {
    let parts = name.strip_suffix(".png").and_then(|name| name.rsplit_once("_dice"));
    parts.is_some_and(|(front, dice)| {
        let rank = front.split_once('_').map_or("", |(rank, _)| rank);
        rank.len() >= 4 && rank.bytes().all(|b| b.is_ascii_digit()) && dice.parse::<f64>().is_ok()
    })
}

fn print_report(patients: &[(u32, Hard)], hard: &Hard, soft: &Figures, point: Point) {
    let line = |name: &str, h: &Hard| {
        println!(
            "{name:>8} {:>7} {:>7} {:>8} {:>8} {:>10}",
            h.frames,
            h.nerve_frames,
            figure(h.dice),
            figure(h.iou),
            percent(h.presence)
        );
    };
    println!("{:>8} {:>7} {:>7} {:>8} {:>8} {:>10}", "patient", "frames", "nerve", "Dice", "IoU", "presence");
    for (patient, h) in patients {
        line(&patient.to_string(), h);
    }
    line("all", hard);
    println!(
        "at threshold {:.2}, least area {} pixels; sensitivity {}, specificity {}",
        point.threshold,
        point.min_area,
        percent(hard.sensitivity),
        percent(hard.specificity)
    );
    let named = Figures::NAMES.into_iter().zip(soft.values());
    let named: Vec<_> = named.map(|(name, value)| format!("{} {value:.4}", name.replace('_', " "))).collect();
    println!("soft, as published: {}", named.join(", "));
}

/// Where no frame tells, a dash.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "–".into(), |part| format!("{:.1}%", part * 100.0))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{}: write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_overlays_of_an_earlier_evaluation_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("overlays");
        std::fs::create_dir_all(folder.join("0001_1_1_dice0.10.png")).unwrap();
        let foreign = ["holiday.png", "0001_1_1.png", "12_1_1_dice0.5.png", "0001_1_dice.png", "notes.txt"];
        for name in foreign.into_iter().chain(["0001_12_34_dice0.25.png", "0050_1_2_dice1.00.png"]) {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        let nerve = Frame { name: "7_8".into(), patient: 7, luma: Box::new([9; 4]), nerve: Box::new([1; 4]) };
        let sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        let predictions = [Prediction { frame: &nerve, map: vec![255; 4], sums }];
        let point = Point { threshold: 0.5, min_area: 1 };
        let outcomes = point::outcomes(&predictions, 2, point);
        let judged = Judged { predictions: &predictions, outcomes: &outcomes, width: 2, point };
        judged.write_overlays(&folder, 1).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [&foreign[..], &["0001_1_1_dice0.10.png", "0001_7_8_dice1.00.png"]].concat();
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn figures_that_no_frame_tells_are_empty_or_a_dash() {
        let hard = Hard::of(&[Outcome { truth: 4, shown: 4, both: 4 }]);
        let csv = patients_csv(&[(3, hard)]);
        assert!(csv.ends_with("\n3,1,1,1.0000,1.0000,1.0000,1.0000,\n"), "{csv}");
        assert_eq!((percent(hard.specificity), figure(None)), ("–".into(), "–".into()));
        assert_eq!((percent(Some(0.5)), figure(Some(0.5))), ("50.0%".into(), "0.500".into()));
    }
}

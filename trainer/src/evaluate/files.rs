//! What `evaluate` writes beside the page: JSON, CSV and pictures.

use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use serde_json::json;

use super::evaluation::{Case, Evaluation};
use crate::metrics::SoftMetrics;
use crate::metrics::shown;
use crate::metrics::{MEASURES, Patient, Summary};
use crate::util::{csv_text, overlay};

/// Writes everything into `out`.
pub fn write(evaluation: &Evaluation, summary: &Summary, out: &Path, overlays: usize) -> Result<()> {
    write_text(
        &out.join("summary.json"),
        &serde_json::to_string_pretty(&summary_json(evaluation, summary)?)?,
    )?;
    write_text(&out.join("frames.csv"), &frames_csv(&evaluation.cases)?)?;
    write_text(&out.join("patients.csv"), &patients_csv(&summary.patients)?)?;
    write_overlays(evaluation, &out.join("overlays"), overlays)
}

fn summary_json(evaluation: &Evaluation, summary: &Summary) -> Result<serde_json::Value> {
    let soft = evaluation.soft();
    let soft: serde_json::Map<_, _> = SoftMetrics::NAMES
        .into_iter()
        .zip(soft.values())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut json = json!({
        "title": evaluation.title,
        "warnings": evaluation.warnings,
        "data": evaluation.data,
        "points": evaluation.points(),
        "point_origin": evaluation.origin,
        "engine": evaluation.engine,
        "facts": evaluation.facts,
        "soft": soft,
    });
    if let (Some(json), serde_json::Value::Object(figures)) =
        (json.as_object_mut(), serde_json::to_value(summary)?)
    {
        json.extend(figures);
    }
    Ok(json)
}

fn patients_csv(patients: &[Patient]) -> csv::Result<String> {
    let names = ["patient", "frames", "nerve_frames"].into_iter().chain(MEASURES.iter().map(|m| m.name));
    let row = |Patient { patient, frames, nerve_frames, means, .. }: &Patient| {
        let counts = [patient.to_string(), frames.to_string(), nerve_frames.to_string()];
        let means = means.iter().map(|mean| mean.map(|mean| format!("{mean:.4}")).unwrap_or_default());
        counts.into_iter().chain(means).collect::<Vec<_>>()
    };
    csv_text(names, patients.iter().map(row))
}

/// Columns of `frames.csv` before the soft figures.
const FRAME: [&str; 10] = [
    "frame",
    "patient",
    "truth_pixels",
    "shown_pixels",
    "both_pixels",
    "dice",
    "iou",
    "hd95",
    "surface_dice",
    "invented",
];

fn frames_csv(cases: &[Case]) -> csv::Result<String> {
    let soft = SoftMetrics::NAMES.map(|name| format!("soft_{name}"));
    let names = FRAME.map(str::to_owned).into_iter().chain(soft);
    let row = |Case { prediction, scored, .. }: &Case| {
        let o = scored.outcome;
        let [hd95, surface] =
            [scored.hd95, scored.surface_dice].map(|v| v.map(|v| format!("{v:.5}")).unwrap_or_default());
        let cells = [
            scored.frame.clone(),
            scored.patient.to_string(),
            o.truth.to_string(),
            o.shown.to_string(),
            o.both.to_string(),
            format!("{:.4}", o.dice()),
            format!("{:.4}", o.iou()),
            hd95,
            surface,
            scored.invented.unwrap_or_default().to_string(),
        ];
        let soft = prediction.sums.figures().values().map(|v| format!("{v:.5}"));
        cells.into_iter().chain(soft).collect::<Vec<_>>()
    };
    csv_text(names, cases.iter().map(row))
}

/// Writes the `count` worst frames; file names begin with the rank.
fn write_overlays(evaluation: &Evaluation, folder: &Path, count: usize) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: make", folder.display()))?;
    // Pictures of an earlier evaluation would mix with these.
    remove_overlays(folder).with_context(|| format!("{}: clear", folder.display()))?;
    evaluation.worst_first().into_par_iter().take(count).enumerate().try_for_each(|(rank, case)| {
        let (frame, width) = (case.prediction.frame, evaluation.ruler.width);
        let name = format!("{:04}_{}_dice{:.2}.png", rank + 1, frame.name, case.scored.outcome.dice());
        let path = folder.join(name);
        let shown = shown(&case.prediction.map, width, case.point);
        let picture = overlay(&frame.luma, &frame.nerve, &shown, width);
        picture.save(&path).with_context(|| format!("{}: write", path.display()))
    })
}

/// Removes what [`write_overlays`] wrote, and nothing else.
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

fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{}: write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::tests::evaluation;
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
        let data = super::super::evaluation::tests::data(2, 2);
        write_overlays(&evaluation(&data), &folder, 1).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [&foreign[..], &["0001_1_1_dice0.10.png", "0001_2_0_dice0.00.png"]].concat();
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn files_hold_every_frame_and_figures_that_no_frame_tells_are_empty() {
        let data = super::super::evaluation::tests::data(2, 2);
        let evaluation = evaluation(&data);
        let directory = tempfile::tempdir().unwrap();
        write(&evaluation, &evaluation.summary(), directory.path(), 2).unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        let frames = read("frames.csv");
        assert!(frames.contains("\n1_0,1,8,8,8,1.0000,1.0000,0.00000,1.00000,"), "{frames}");
        // Without nerve there is no distance; missed, it is the diagonal.
        assert!(frames.contains("\n1_1,1,0,0,0,1.0000,1.0000,,,"), "{frames}");
        assert!(frames.contains("\n2_0,2,8,0,0,0.0000,0.0000,4.47214,0.00000,"), "{frames}");
        let patients = read("patients.csv");
        assert!(
            patients
                .contains("\n1,2,1,1.0000,1.0000,1.0000,0.0000,0.0000,1.0000,1.0000,1.0000,0.0000,1.0000\n")
        );
        assert!(patients.contains("\n2,2,1,0.0000,0.0000,0.0000,4.4721,,"), "{patients}");
        let summary: serde_json::Value = serde_json::from_str(&read("summary.json")).unwrap();
        assert_eq!(summary["figures"]["dice"]["mean"], 0.5, "{summary:#}");
        assert_eq!(summary["figures"]["presence"]["all_empty"], 0.5);
        assert!(summary["warnings"][0].as_str().unwrap().starts_with("LEAKY: split by frame"));
    }
}

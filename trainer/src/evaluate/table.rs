//! An evaluation as tables on the terminal.

use super::evaluation::Evaluation;
use crate::metrics::SoftMetrics;
use crate::metrics::{MEASURES, Measure, Summary, percent};
use crate::util;

/// Measures of the table by patient.
const COLUMNS: [(&str, &str); 6] = [
    ("dice", "Dice"),
    ("iou", "IoU"),
    ("surface_dice", "surface"),
    ("hd95", "HD95"),
    ("sensitivity", "sens."),
    ("specificity", "spec."),
];

/// Prints every patient, then every figure with its interval and the baseline.
pub fn print(evaluation: &Evaluation, summary: &Summary) {
    let names = ["patient", "frames", "nerve"].into_iter().chain(COLUMNS.map(|(_, label)| label));
    let mut table = util::table(names);
    for patient in &summary.patients {
        let counts = [patient.patient as usize, patient.frames, patient.nerve_frames].map(|n| n.to_string());
        let shown = |(measure, _): &(&Measure, _)| COLUMNS.iter().any(|(name, _)| *name == measure.name);
        let means = MEASURES.iter().zip(&patient.means).filter(shown);
        table.add_row(counts.into_iter().chain(means.map(|(measure, mean)| measure.text(*mean))));
    }
    outln!("{}", util::lines(&table));
    let mut table = util::table(["", "by frame", "95% interval", "by patient", "95% interval", "all empty"]);
    for measure in &MEASURES {
        let Some(figure) = summary.figures.get(measure.name) else { continue };
        let e = &figure.estimate;
        table.add_row([
            measure.label.to_owned(),
            measure.text(e.mean),
            measure.range(e.interval),
            measure.text(e.patient_mean),
            measure.range(e.patient_interval),
            measure.text(figure.all_empty),
        ]);
    }
    out!("{}", util::lines(&table));
    outln!("means over frames and over patients; intervals by drawing patients anew; distances in pixels");
    for size in &summary.sizes {
        let [least, most] = size.area;
        let [dice, iou] = [&size.dice, &size.iou].map(|e| MEASURES[0].text(e.mean));
        outln!("nerves of {least} to {most} pixels: Dice {dice}, IoU {iou}, {} frames", size.dice.frames);
    }
    let c = &summary.calibration;
    outln!("calibration error {} of pixels with 1% or more, {} of all", percent(c.ece), percent(c.ece_all));
    let points: Vec<_> = evaluation
        .points()
        .iter()
        .map(|point| format!("threshold {:.2}, least area {}", point.threshold, point.min_area))
        .collect();
    outln!("at {} ({})", points.join("; "), evaluation.origin);
    let named = SoftMetrics::NAMES.into_iter().zip(evaluation.soft().values());
    let named: Vec<_> = named.map(|(name, value)| format!("{} {value:.4}", name.replace('_', " "))).collect();
    outln!("soft, as published: {}", named.join(", "));
    if let Some(speed) = &evaluation.engine {
        outln!(
            "{}, {}: median {:.1} ms a frame",
            speed.info.runtime,
            speed.info.provider,
            speed.milliseconds
        );
    }
    for warning in &evaluation.warnings {
        outln!("{warning}");
    }
}

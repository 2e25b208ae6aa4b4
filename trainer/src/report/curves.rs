//! Curves of a run, from its `metrics.csv`.

use std::path::Path;

use super::charts::Lines;
use crate::train::{RunDir, Validation, comparable};

type Points = Vec<(f64, f64)>;

/// The curves of the run in `root`, or nothing where it has none.
pub fn svg(root: &Path) -> String {
    let Ok(rows) = RunDir::at(root).read_metrics() else { return String::new() };
    let training = |value: fn(&Validation) -> Option<f64>| points(rows.iter(), value);
    // SoftMetrics are in the order of [`crate::metrics::SoftMetrics::NAMES`].
    let figure = |i: usize| points(comparable(&rows), |row| Some(row.figures[i]));
    let loss = points(comparable(&rows), |row| Some(row.loss));
    let charts = [
        ("loss", vec![("training", training(|row| row.train_loss)), ("validation", loss)]),
        ("soft overlap", vec![("IoU", figure(0)), ("Dice", figure(1))]),
        (
            "soft precision, recall",
            vec![("precision", figure(4)), ("recall", figure(5)), ("F-score", figure(6))],
        ),
        ("learning rate", vec![("learning rate", training(|row| Some(row.rate)))]),
    ];
    let charts = charts.into_iter().map(|(y, lines)| Lines { lines, x: "batches", y }.svg());
    format!("<div class=pair>{}</div>", charts.collect::<String>())
}

/// Batches done and the value, of the rows that have it.
fn points<'a>(
    rows: impl Iterator<Item = &'a Validation>,
    value: impl Fn(&Validation) -> Option<f64>,
) -> Points {
    let point = |row: &Validation| Some((row.step as f64, value(row).filter(|y| y.is_finite())?));
    rows.filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: i64, full: bool, dice: f64) -> Validation {
        let figures = [0.0, dice, 0.0, 0.0, 0.0, 0.0, 0.0];
        Validation {
            epoch: 0,
            step,
            full,
            rate: 1e-3,
            train_loss: (step > 1).then_some(1.0),
            loss: f64::NAN,
            figures,
        }
    }

    #[test]
    fn a_curve_holds_validations_of_one_kind() {
        let dice = |rows: &[Validation]| points(comparable(rows), |row| Some(row.figures[1]));
        let rows = [row(1, false, 0.1), row(8, true, 0.4), row(9, false, 0.3), row(16, true, 0.5)];
        assert_eq!(dice(&rows), [(8.0, 0.4), (16.0, 0.5)]);
        assert_eq!(dice(&rows[..3]), [(1.0, 0.1), (9.0, 0.3)]);
    }

    #[test]
    fn rows_without_a_value_have_no_point() {
        let rows = [row(1, true, 0.1), row(8, true, 0.4)];
        assert_eq!(points(rows.iter(), |row| row.train_loss), [(8.0, 1.0)]);
        assert!(points(rows.iter(), |row| Some(row.loss)).is_empty());
        assert_eq!(svg(Path::new("/nonexistent")), "");
    }
}

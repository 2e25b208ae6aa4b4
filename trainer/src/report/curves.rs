//! Curves of a run from its `metrics.csv`.

use std::path::Path;

use super::charts::Lines;

/// Title, vertical axis and lines: column of `metrics.csv` and label.
type Chart = (&'static str, &'static [(&'static str, &'static str)]);

const CHARTS: [Chart; 4] = [
    ("loss", &[("train_loss", "training"), ("validation_loss", "validation")]),
    ("soft overlap", &[("iou", "IoU"), ("dice", "Dice")]),
    ("soft precision, recall", &[("precision", "precision"), ("recall", "recall"), ("f_score", "F-score")]),
    ("learning rate", &[("learning_rate", "learning rate")]),
];

/// The curves of the run in `root`, or nothing where it has none.
pub fn svg(root: &Path) -> String {
    let Ok(text) = std::fs::read_to_string(root.join("metrics.csv")) else { return String::new() };
    let table = Table::of(&text);
    let charts = CHARTS.iter().map(|(label, lines)| {
        let lines = lines.iter().map(|(column, name)| (*name, table.points(column))).collect();
        Lines { lines, x: "batches", y: label }.svg()
    });
    format!("<div class=pair>{}</div>", charts.collect::<String>())
}

struct Table<'a> {
    names: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    fn of(text: &'a str) -> Self {
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        Self { names: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    /// Batches done and the value, of the rows that have it.
    fn points(&self, column: &str) -> Vec<(f64, f64)> {
        let at = |name| self.names.iter().position(|n| *n == name);
        let (Some(step), Some(column)) = (at("step"), at(column)) else { return vec![] };
        let number = |row: &[&str], i: usize| row.get(i)?.parse::<f64>().ok().filter(|v| v.is_finite());
        self.rows.iter().filter_map(|row| Some((number(row, step)?, number(row, column)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_cells_and_missing_columns_have_no_points() {
        let table = Table::of("epoch,step,train_loss\n0,1,\n0,31,0.5\n0,61,NaN\n");
        assert_eq!(table.points("train_loss"), [(31.0, 0.5)]);
        assert!(table.points("iou").is_empty());
        assert!(Table::of("").points("iou").is_empty());
        assert_eq!(svg(Path::new("/nonexistent")), "");
    }
}

//! Validations of a run: `metrics.csv`.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::metrics::SoftMetrics;
use crate::util::csv_text;

/// One validation: a line of `metrics.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// From 0.
    pub epoch: usize,
    /// Steps done in all.
    pub step: i64,
    /// Over all validation frames, at the end of an epoch.
    pub full: bool,
    /// Learning rate of the step before.
    pub rate: f64,
    /// Mean loss of the steps since the last validation; none when there were none.
    pub train_loss: Option<f64>,
    /// Mean over validation batches.
    pub loss: f64,
    /// Means over validation batches, in the order of [`SoftMetrics::NAMES`].
    pub figures: [f64; 7],
}

impl Validation {
    /// From a line of `metrics.csv`.
    fn parse(line: &csv::StringRecord) -> Option<Self> {
        let fields: [&str; 13] = line.iter().collect::<Vec<_>>().try_into().ok()?;
        let [epoch, step, full, rate, train, loss, figures @ ..] = fields;
        let train_loss = if train.is_empty() { None } else { Some(train.parse().ok()?) };
        let figures: Vec<f64> = figures.iter().map(|f| f.parse().ok()).collect::<Option<_>>()?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            step: step.parse().ok()?,
            full: full.parse().ok()?,
            rate: rate.parse().ok()?,
            train_loss,
            loss: loss.parse().ok()?,
            figures: figures.try_into().ok()?,
        })
    }

    /// As the cells of a line.
    fn cells(&self) -> Vec<String> {
        let Self { epoch, step, full, rate, train_loss, loss, figures } = self;
        let train = train_loss.map(|loss| loss.to_string()).unwrap_or_default();
        let cells = [epoch.to_string(), step.to_string(), full.to_string(), rate.to_string(), train];
        let figures = figures.iter().map(f64::to_string);
        cells.into_iter().chain([loss.to_string()]).chain(figures).collect()
    }
}

/// The lines of a `metrics.csv` called `name`.
pub fn parse(name: &str, text: &str) -> Result<Vec<Validation>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = |(number, line): (usize, csv::Result<csv::StringRecord>)| {
        let row = line.ok().and_then(|line| Validation::parse(&line));
        row.with_context(|| format!("{name}:{number}: is no line of metrics"))
    };
    (2..).zip(reader.records()).map(row).collect()
}

/// `history` as `metrics.csv`.
pub fn to_csv(history: &[Validation]) -> csv::Result<String> {
    let names = ["epoch", "step", "full", "learning_rate", "train_loss", "validation_loss"];
    csv_text(names.into_iter().chain(SoftMetrics::NAMES), history.iter().map(Validation::cells))
}

/// The validations that make one curve: those over all frames once there are two, before that those over a part. From
/// one kind to the other figures jump because the frames change, not the network.
pub fn comparable(rows: &[Validation]) -> impl Iterator<Item = &Validation> {
    let full = rows.iter().filter(|row| row.full).count() > 1;
    rows.iter().filter(move |row| row.full == full)
}

//! Validations of a run: `metrics.csv`.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::metrics::SoftMetrics;

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
    fn parse(line: &str) -> Option<Self> {
        let fields: [&str; 13] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
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
}

/// The lines of a `metrics.csv` called `name`.
pub fn parse(name: &str, text: &str) -> Result<Vec<Validation>> {
    let row = |(index, line): (usize, &str)| {
        Validation::parse(line).with_context(|| format!("{name}:{}: is no line of metrics", index + 1))
    };
    text.lines().enumerate().skip(1).map(row).collect()
}

/// `history` as `metrics.csv`.
pub fn csv(history: &[Validation]) -> String {
    let names = SoftMetrics::NAMES.join(",");
    let mut text = format!("epoch,step,full,learning_rate,train_loss,validation_loss,{names}\n");
    for row in history {
        let train = row.train_loss.map(|l| l.to_string()).unwrap_or_default();
        let figures = row.figures.map(|value| value.to_string()).join(",");
        let Validation { epoch, step, full, rate, loss, .. } = row;
        text += &format!("{epoch},{step},{full},{rate},{train},{loss},{figures}\n");
    }
    text
}

/// The validations that make one curve: those over all frames once there are two, before that those over a part. From
/// one kind to the other figures jump because the frames change, not the network.
pub fn comparable(rows: &[Validation]) -> impl Iterator<Item = &Validation> {
    let full = rows.iter().filter(|row| row.full).count() > 1;
    rows.iter().filter(move |row| row.full == full)
}

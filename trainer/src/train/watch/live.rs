//! The state of a run that terminal and page show.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::metrics::SoftMetrics;
use crate::train::Settings;
use crate::train::Validation;

/// Points that a curve keeps at most.
const POINTS: usize = 1000;
/// Newest lines that the page shows.
const LINES: usize = 20;
/// Share of the past that stays in the speed with every step.
const DECAY: f64 = 0.95;

/// A curve over steps. Neighbours become their mean when it grows too long.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Step and value, at most [`POINTS`].
    pub points: Vec<(f64, f64)>,
    /// Values in a point.
    each: usize,
    /// Sum and number of those that are no point yet.
    open: (f64, usize),
}

impl Default for Curve {
    fn default() -> Self {
        Self { points: vec![], each: 1, open: (0.0, 0) }
    }
}

impl Curve {
    /// Adds the value at `step`.
    pub fn push(&mut self, step: i64, value: f64) {
        self.open = (self.open.0 + value, self.open.1 + 1);
        if self.open.1 < self.each {
            return;
        }
        let (sum, count) = std::mem::take(&mut self.open);
        self.points.push((step as f64, sum / count as f64));
        if self.points.len() == POINTS {
            self.points =
                self.points.chunks_exact(2).map(|two| (two[1].0, (two[0].1 + two[1].1) / 2.0)).collect();
            self.each *= 2;
        }
    }
}

/// A validation frame with what the network found.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The frame's name.
    pub name: String,
    /// The overlay, as a file.
    pub png: Bytes,
}

/// A run as terminal and page show it. Times are since this program began to train.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The run's directory.
    pub title: String,
    /// The network, and what it learns with.
    pub network: String,
    /// Of the whole run.
    pub epochs: usize,
    /// Epochs done.
    pub epoch: usize,
    /// Frames in the epoch under way; 0 = not known.
    pub frames: usize,
    /// Frames of it done.
    pub done: usize,
    /// Steps done.
    pub step: i64,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Its learning rate.
    pub rate: Option<f64>,
    /// Loss of the steps.
    pub training: Curve,
    /// Learning rate of the steps.
    pub rates: Curve,
    /// Every validation.
    pub rows: Vec<Validation>,
    /// What was said, newest last.
    pub lines: Vec<String>,
    /// Frames as the network sees them at the end of the last epoch.
    pub pictures: Vec<Picture>,
    /// Frames trained on since the program began.
    trained: usize,
    /// Frames and seconds, old ones counting less.
    recent: (f64, f64),
    /// When the last step, validation or epoch ended.
    last: Duration,
}

impl Live {
    /// A run that has got as far as `rows`.
    pub fn new(settings: &Settings, rows: &[Validation]) -> Self {
        let Settings { network, width, loss, .. } = settings;
        let loss = serde_json::to_value(loss).ok().and_then(|l| l.as_str().map(str::to_owned));
        let mut live = Self {
            title: settings.run.display().to_string(),
            network: format!("{network}, width {width}, {}", loss.unwrap_or_default()),
            epochs: settings.epochs,
            ..Self::default()
        };
        for row in rows {
            if let Some(loss) = row.train_loss {
                live.training.push(row.step, loss);
                live.rates.push(row.step, row.rate);
                (live.loss, live.rate) = (Some(loss), Some(row.rate));
            }
            live.step = row.step;
            live.epoch = row.epoch + usize::from(row.full);
        }
        live.rows = rows.to_vec();
        live
    }

    /// `epoch`, from 0, goes on after `done` of its `frames`.
    pub fn begin_epoch(&mut self, epoch: usize, done: usize, frames: usize, at: Duration) {
        (self.epoch, self.done, self.frames, self.last) = (epoch, done, frames, at);
    }

    /// A step over `frames` frames ended.
    pub fn step(&mut self, step: i64, loss: f64, rate: f64, frames: usize, at: Duration) {
        self.step = step;
        (self.loss, self.rate) = (Some(loss), Some(rate));
        self.training.push(step, loss);
        self.rates.push(step, rate);
        self.done += frames;
        self.trained += frames;
        let seconds = at.saturating_sub(self.last).as_secs_f64();
        self.recent = (self.recent.0 * DECAY + frames as f64, self.recent.1 * DECAY + seconds);
        self.last = at;
    }

    /// A validation ended.
    pub fn validated(&mut self, row: Validation, at: Duration) {
        if row.full {
            self.epoch = row.epoch + 1;
            self.done = 0;
        }
        self.rows.push(row);
        self.last = at;
    }

    /// Frames a second in training, without validation.
    pub fn speed(&self) -> Option<f64> {
        (self.recent.1 > 0.0).then(|| self.recent.0 / self.recent.1)
    }

    /// Time until the run ends, validations included, if it goes on as until now.
    pub fn left(&self, at: Duration) -> Option<Duration> {
        let frames = (self.frames * self.epochs.saturating_sub(self.epoch)).saturating_sub(self.done);
        (self.trained > 0).then(|| at.mul_f64(frames as f64 / self.trained as f64))
    }

    /// Share of the epoch that is done, 0..1.
    pub fn epoch_share(&self) -> f64 {
        // After the last there is no other.
        if self.epoch >= self.epochs {
            return 1.0;
        }
        (self.done as f64 / self.frames.max(1) as f64).min(1.0)
    }

    /// Share of the run that is done, 0..1.
    pub fn share(&self) -> f64 {
        ((self.epoch as f64 + self.epoch_share()) / self.epochs.max(1) as f64).min(1.0)
    }

    /// The validation over all frames with the lowest loss.
    pub fn best(&self) -> Option<&Validation> {
        self.rows.iter().filter(|row| row.full).min_by(|a, b| a.loss.total_cmp(&b.loss))
    }

    /// Everything but the pictures themselves, for the page.
    pub fn json(&self, at: Duration) -> Value {
        json!({
            "title": self.title,
            "network": self.network,
            "epochs": self.epochs,
            "epoch": self.epoch,
            "epoch_share": self.epoch_share(),
            "share": self.share(),
            "step": self.step,
            "loss": self.loss,
            "rate": self.rate,
            "speed": self.speed(),
            "elapsed": (self.trained > 0).then_some(at.as_secs_f64()),
            "left": self.left(at).map(|left| left.as_secs_f64()),
            "best": self.best().map(|row| row.epoch),
            "training": self.training.points,
            "rates": self.rates.points,
            "figures": SoftMetrics::NAMES,
            "rows": self.rows,
            "lines": self.lines[self.lines.len().saturating_sub(LINES)..],
            "pictures": self.pictures.iter().map(|picture| &picture.name).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A validation of `epoch`.
    pub fn row(epoch: usize, step: i64, full: bool, loss: f64) -> Validation {
        let figures = [0.5, 0.6 + loss / 100.0, 10.0, 20.0, 0.7, 0.8, 0.75];
        Validation { epoch, step, full, rate: 1e-3, train_loss: Some(loss * 0.9), loss, figures }
    }

    /// Two of four epochs done, half of the third.
    pub fn live() -> Live {
        let settings = Settings { run: "runs/a".into(), epochs: 4, ..Default::default() };
        let mut live = Live::new(&settings, &[row(0, 10, true, 0.9)]);
        let at = Duration::from_secs;
        live.begin_epoch(1, 0, 80, at(0));
        (0..10).for_each(|i| live.step(11 + i, 0.8, 5e-4, 8, at(1 + i as u64)));
        live.validated(row(1, 20, true, 0.4), at(20));
        live.begin_epoch(2, 0, 80, at(20));
        (0..5).for_each(|i| live.step(21 + i, 0.3, 4e-4, 8, at(21 + i as u64)));
        live
    }

    #[test]
    fn a_long_curve_keeps_its_shape_in_few_points() {
        let mut curve = Curve::default();
        (1..=100_000).for_each(|step| curve.push(step, step as f64));
        assert!((POINTS / 2..POINTS).contains(&curve.points.len()), "{}", curve.points.len());
        for (step, value) in &curve.points {
            // The mean of the steps up to it.
            assert!((step - value - (curve.each as f64 - 1.0) / 2.0).abs() < 1e-6, "{step} {value}");
        }
        assert!(curve.points.windows(2).all(|two| two[1].0 - two[0].0 == curve.each as f64));
        assert!(curve.points.last().unwrap().0 > 99_000.0);
    }

    #[test]
    fn shares_speed_time_left_and_best() {
        let live = live();
        assert_eq!((live.epoch_share(), live.share()), (0.5, 0.625));
        assert!((live.speed().unwrap() - 8.0).abs() < 1e-9, "validation is left out: {:?}", live.speed());
        // 120 frames in 25 s; 120 are left.
        assert_eq!(live.left(Duration::from_secs(25)).unwrap(), Duration::from_secs(25));
        assert_eq!(live.best().unwrap().epoch, 1);
        assert_eq!(live.rows.len(), 2);
    }

    #[test]
    fn a_run_before_its_first_step_has_no_figures() {
        let live = Live::new(&Settings::default(), &[]);
        assert_eq!((live.speed(), live.left(Duration::from_secs(9)), live.share()), (None, None, 0.0));
        assert!(live.best().is_none());
        let json = live.json(Duration::ZERO);
        assert!(json["loss"].is_null() && json["left"].is_null(), "{json}");
    }
}

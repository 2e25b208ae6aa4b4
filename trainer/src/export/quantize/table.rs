//! The precisions of a bundle, compared in one table.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use nervelight_engines::Precision;
use nervelight_engines::golden::min_dice;

use super::trial::Predicted;
use crate::metrics::{Change, FrameMetrics, Measure, OperatingPoint, change, flip, outcomes};
use crate::util;

/// Frames named for each precision.
const WORST: usize = 3;
/// A Dice that moves less than this is not named.
const CLEARLY: f64 = 0.05;

/// A precision beside fp32.
pub struct PrecisionResult {
    precision: Precision,
    file: &'static str,
    bytes: usize,
    milliseconds: f64,
    golden: f64,
    /// None where no frame has nerve.
    change: Option<Change>,
    /// Frames where presence is wrong: in fp32, and here.
    wrong: [usize; 2],
    frames: Vec<[FrameMetrics; 2]>,
    /// What was decided.
    pub about: String,
    /// Why it is not in the bundle.
    pub left_out: Option<String>,
    engine: String,
}

impl PrecisionResult {
    /// Of the same frames in fp32 and in this precision, in maps with rows of `width` bytes.
    pub fn new(
        precision: Precision,
        file: &'static str,
        reference: &Predicted,
        found: &Predicted,
        point: OperatingPoint,
        width: usize,
    ) -> Result<Self> {
        let scored = |predicted: &Predicted| -> Vec<FrameMetrics> {
            let outcomes = outcomes(&predicted.predictions, width, point);
            let frames = predicted.predictions.iter().zip(outcomes);
            let scored = frames.map(|(prediction, outcome)| FrameMetrics {
                frame: prediction.frame.name.clone(),
                patient: prediction.frame.patient,
                outcome,
                hd95: None,
                surface_dice: None,
                invented: None,
            });
            scored.collect()
        };
        let frames: Vec<[FrameMetrics; 2]> =
            scored(reference).into_iter().zip(scored(found)).map(|(a, b)| [a, b]).collect();
        let mut patients = BTreeMap::<u32, Vec<[&FrameMetrics; 2]>>::new();
        for [a, b] in &frames {
            patients.entry(a.patient).or_default().push([a, b]);
        }
        let dice = Measure::named("dice").context("Dice is a measure")?;
        let wrong =
            [0, 1].map(|side| frames.iter().filter(|pair| !pair[side].outcome.presence_is_right()).count());
        Ok(Self {
            precision,
            file,
            bytes: found.bytes,
            milliseconds: found.milliseconds,
            golden: found.golden,
            change: change(dice, &patients),
            wrong,
            frames,
            about: String::new(),
            left_out: None,
            engine: found.engine.clone(),
        })
    }

    /// Mean Dice over frames with nerve.
    pub fn dice(&self) -> Option<f64> {
        self.change.as_ref().map(|change| change.means[1])
    }

    /// Why no cart should run it: it loses more than `max_loss` of Dice, or the golden frames disagree.
    pub fn verdict(&self, max_loss: f64) -> Result<(), String> {
        let loss = self.change.as_ref().map_or(0.0, |change| -change.difference());
        if loss.is_nan() || loss > max_loss {
            return Err(format!("it loses {loss:.4} of Dice against fp32, more than --max-loss {max_loss}"));
        }
        let limit = min_dice(self.precision);
        if self.golden < limit {
            return Err(format!("its Dice of {:.3} on the golden frames is under {limit}", self.golden));
        }
        Ok(())
    }

    /// Frames whose presence flipped, then those whose Dice moved most.
    fn worst(&self) -> Vec<String> {
        let shown = |frame: &FrameMetrics| frame.outcome.shown > 0;
        let by = |[a, b]: &[FrameMetrics; 2]| b.outcome.dice() - a.outcome.dice();
        let mut worst: Vec<&[FrameMetrics; 2]> = self
            .frames
            .iter()
            .filter(|pair| shown(&pair[0]) != shown(&pair[1]) || by(pair).abs() > CLEARLY)
            .collect();
        let rank = |pair: &[FrameMetrics; 2]| {
            (shown(&pair[0]) == shown(&pair[1]), pair[1].outcome.presence_is_right())
        };
        worst.sort_by(|a, b| rank(a).cmp(&rank(b)).then(by(a).total_cmp(&by(b))));
        let say = |pair: &&[FrameMetrics; 2]| {
            let [a, b] = *pair;
            let what = if shown(a) == shown(b) { "" } else { flip([a, b]) };
            let [x, y] = [a, b].map(|frame| frame.outcome.dice());
            format!("{} Dice {x:.3} to {y:.3} {what}", a.frame).trim_end().to_owned()
        };
        worst.iter().take(WORST).map(say).collect()
    }
}

/// Prints the table, then what was decided and the worst frames.
pub fn print(rows: &[PrecisionResult], held_out: usize, calibrated: usize) {
    outln!("{held_out} frames held out, {calibrated} frames of training patients to calibrate with");
    let names =
        ["model", "Dice", "change", "95% interval", "presence wrong", "golden Dice", "MB", "ms/frame", ""];
    let mut table = util::table(names);
    for row in rows {
        let [dice, moved, interval] = match &row.change {
            None => ["–", "–", "–"].map(str::to_owned),
            Some(change) => [
                format!("{:.4}", change.means[1]),
                format!("{:+.4}", change.difference()),
                change.interval.map_or("–".into(), |[low, high]| format!("{low:+.4} to {high:+.4}")),
            ],
        };
        let star = if row.file == super::TENSORRT { "*" } else { " " };
        table.add_row([
            row.file.to_owned(),
            dice,
            moved,
            interval,
            row.wrong[1].to_string(),
            format!("{:.3}", row.golden),
            format!("{:.2}", row.bytes as f64 / 1e6),
            format!("{:.1}{star}", row.milliseconds),
            if row.left_out.is_some() { "LEFT OUT".into() } else { String::new() },
        ]);
    }
    out!("{}", util::lines(&table));
    if rows.iter().any(|row| row.file == super::TENSORRT) {
        outln!("* on this machine's CPU; TensorRT's time is another");
    }
    for row in rows {
        if let Some(why) = &row.left_out {
            outln!("{}: LEFT OUT of the bundle: {why}", row.file);
        }
        let about = if row.about.is_empty() { String::new() } else { format!("{}; ", row.about) };
        outln!("{}: {about}judged in {}", row.file, row.engine);
        for frame in row.worst() {
            outln!("  {frame}");
        }
    }
}

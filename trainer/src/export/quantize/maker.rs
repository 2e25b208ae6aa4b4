//! Makes the models of the other precisions.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow};
use nervelight_engines::Precision;
use nervelight_engines::golden::min_dice;

use super::calibration::Calibration;
use super::histogram::Method;
use super::trial::{Predicted, Trials};
use crate::data::Frame;
use crate::export::onnx::{LARGEST, MARGIN, Style, at_risk, half, int8};
use crate::metrics::{Prediction, Thresholded, outcomes};
use crate::net::Module;

/// A model in one precision, on its way into the bundle.
pub struct Candidate {
    /// In the bundle.
    pub file: &'static str,
    pub precision: Precision,
    pub model: Vec<u8>,
    /// What was decided.
    pub about: String,
}

/// Makes models of the other precisions.
pub struct Maker<'a> {
    pub fused: &'a Module,
    pub calibration: &'a Calibration,
    pub size: (usize, usize),
    pub trials: &'a Trials<'a>,
    /// fp32 on the frames held out.
    pub reference: &'a Predicted<'a>,
}

impl Maker<'_> {
    pub fn at_risk(&self) -> BTreeSet<String> {
        at_risk(&self.fused.network, &self.fused.parameters, &self.calibration.largest)
    }

    pub fn half(&self) -> Result<Candidate> {
        let full = self.at_risk();
        let Module { network, parameters, .. } = self.fused;
        let model = half(network, parameters, self.size, &full);
        let most = self.calibration.largest.values().copied().fold(0.0, f64::max);
        let layers = match full.len() {
            0 => "no layer".to_owned(),
            _ => full.into_iter().collect::<Vec<_>>().join(", "),
        };
        Ok(Candidate {
            file: Precision::Fp16.onnx_file(),
            precision: Precision::Fp16,
            model: model.map_err(|name| anyhow!("fp16 lacks `{name}`"))?,
            about: format!(
                "largest value {most:.4}, {layers} kept in 32 bits ({MARGIN} times the value must stay under \
                 {LARGEST})"
            ),
        })
    }

    /// With the method of calibration that has the best Dice on `frames`.
    pub fn int8(&self, file: &'static str, style: &Style, frames: &[&Frame]) -> Result<Candidate> {
        let trial = style.on_cpu(&self.fused.network);
        let kind = kind(file, &trial, style);
        let scored = |method: Method| -> Result<FrameMetrics> {
            let model = self.model(file, method, &trial)?;
            let what = format!("{file}, calibration {method}");
            let found = self.trials.predict(Precision::Int8, &kind, &what, model, frames)?;
            let dice = self.dice(&found.predictions);
            // What no cart would run is taken only where there is nothing else.
            Ok(FrameMetrics { method, score: (found.golden >= min_dice(Precision::Int8), dice) })
        };
        let mut best: Option<FrameMetrics> = None;
        let mut about = Vec::new();
        for method in Method::ALL {
            let tried = scored(method)?;
            about.push(format!("{method} {:.4}", tried.score.1));
            if best.as_ref().is_none_or(|best| tried.score > best.score) {
                best = Some(tried);
            }
        }
        let best = best.context("no method of calibration")?;
        let names: Vec<&str> = frames.iter().map(|frame| frame.name.as_str()).collect();
        let wanted = self.reference.predictions.iter().filter(|p| names.contains(&p.frame.name.as_str()));
        let wanted = self.dice(wanted);
        about.push(format!("fp32 {wanted:.4}"));
        let about =
            format!("calibration {}. Dice on {} frames: {}", best.method, frames.len(), about.join(", "));
        let model = self.model(file, best.method, style)?;
        Ok(Candidate { file, precision: Precision::Int8, model, about })
    }

    /// Mean Dice over frames with nerve, or where none has any the part of them that is right.
    fn dice<'p, 'f: 'p>(&self, predictions: impl IntoIterator<Item = &'p Prediction<'f>>) -> f64 {
        let predictions: Vec<&Prediction> = predictions.into_iter().collect();
        let thresholded = Thresholded::of(&outcomes(&predictions, self.size.1, self.trials.point));
        thresholded.dice.or(thresholded.presence).unwrap_or(0.0)
    }

    fn model(&self, file: &str, method: Method, style: &Style) -> Result<Vec<u8>> {
        let Module { network, parameters, .. } = self.fused;
        let thresholds = self.calibration.thresholds(network, method, style);
        int8(network, parameters, self.size, &thresholds, style)
            .map_err(|name| anyhow!("{file} lacks `{name}`"))
    }
}

/// What to call models of `file`'s style when they are tried with the floats of `trial`.
fn kind(file: &str, trial: &Style, style: &Style) -> String {
    if trial == style { file.into() } else { format!("{file} (with floats of 32 bits)") }
}

/// A method of calibration and how it does: whether the golden frames pass, and Dice.
struct FrameMetrics {
    method: Method,
    score: (bool, f64),
}

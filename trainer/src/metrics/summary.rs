//! Everything that `evaluate` finds, as in `summary.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bootstrap::quantile;
use super::frame_metrics::{FrameMetrics, Ruler};
use super::measure::{Estimate, MEASURES};
use super::reliability::Reliability;
use super::sizes::Size;

/// Figures over all frames.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub frames: usize,
    pub nerve_frames: usize,
    /// By the name of the measure.
    pub figures: BTreeMap<&'static str, Figure>,
    /// Distance in pixels at which contours count as equal.
    pub tolerance: f64,
    /// By the nerve's size.
    pub sizes: Vec<Size>,
    pub calibration: Reliability,
    #[serde(skip)]
    pub patients: Vec<Patient>,
}

/// A measure over all frames.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What a network that never shows anything would reach.
    pub all_empty: Option<f64>,
}

/// One patient: a line of `patients.csv`.
#[derive(Debug, Clone)]
pub struct Patient {
    pub patient: u32,
    pub frames: usize,
    pub nerve_frames: usize,
    /// Means in the order of [`MEASURES`].
    pub means: Vec<Option<f64>>,
    /// Dice that 5, 25, 50, 75 and 95% of the frames with nerve do not exceed.
    pub spread: Option<[f64; 5]>,
}

impl Summary {
    /// Of evaluated frames.
    pub fn of(frames: &[FrameMetrics], ruler: Ruler, calibration: Reliability) -> Self {
        let empty: Vec<FrameMetrics> = frames.iter().map(|frame| frame.empty(ruler)).collect();
        let figures = MEASURES.iter().map(|measure| {
            let figure = Figure { estimate: measure.estimate(frames), all_empty: measure.mean(&empty) };
            (measure.name, figure)
        });
        let mut patients = BTreeMap::<u32, Vec<&FrameMetrics>>::new();
        for frame in frames {
            patients.entry(frame.patient).or_default().push(frame);
        }
        Self {
            frames: frames.len(),
            nerve_frames: nerves(frames),
            figures: figures.collect(),
            tolerance: ruler.tolerance,
            sizes: Size::quarters(frames),
            calibration,
            patients: patients.into_iter().map(|(patient, frames)| Patient::of(patient, &frames)).collect(),
        }
    }
}

impl Patient {
    fn of(patient: u32, frames: &[&FrameMetrics]) -> Self {
        let mut dice: Vec<f64> = frames.iter().filter_map(|f| (MEASURES[0].of)(f)).collect();
        dice.sort_by(f64::total_cmp);
        let [a, b, c, d, e] = [0.05, 0.25, 0.5, 0.75, 0.95].map(|part| quantile(&dice, part));
        Self {
            patient,
            frames: frames.len(),
            nerve_frames: nerves(frames.iter().copied()),
            means: MEASURES.iter().map(|measure| measure.mean(frames.iter().copied())).collect(),
            spread: (|| Some([a?, b?, c?, d?, e?]))(),
        }
    }
}

fn nerves<'a>(frames: impl IntoIterator<Item = &'a FrameMetrics>) -> usize {
    frames.into_iter().filter(|frame| frame.outcome.truth > 0).count()
}

#[cfg(test)]
mod tests {
    use super::super::measure::tests::scored;
    use super::*;

    fn summary(frames: &[FrameMetrics]) -> Summary {
        let calibration = Reliability { bins: vec![], ece_all: None, ece: None, considered: None };
        Summary::of(frames, Ruler { width: 4, height: 3, tolerance: 1.0 }, calibration)
    }

    #[test]
    fn the_baseline_is_what_never_showing_anything_scores() {
        let frames = [
            scored(1, 1, [4, 4, 4]),
            scored(1, 2, [0, 9, 0]),
            scored(2, 1, [0, 0, 0]),
            scored(2, 2, [0, 0, 0]),
        ];
        let summary = summary(&frames);
        let baseline = |name: &str| summary.figures[name].all_empty;
        assert_eq!(
            (baseline("dice"), baseline("iou"), baseline("surface_dice")),
            (Some(0.0), Some(0.0), Some(0.0))
        );
        assert_eq!((baseline("hd95"), baseline("hd95_found")), (Some(5.0), None));
        assert_eq!((baseline("presence"), baseline("dice_all")), (Some(0.75), Some(0.75)));
        assert_eq!((baseline("sensitivity"), baseline("specificity")), (Some(0.0), Some(1.0)));
        let patient = &summary.patients[1];
        assert_eq!(
            (patient.frames, patient.nerve_frames, patient.means[0], patient.spread),
            (2, 0, None, None)
        );
        assert_eq!(summary.patients[0].spread, Some([1.0; 5]));
    }

    #[test]
    fn nothing_is_nan() {
        for frames in [vec![], vec![scored(1, 1, [0, 0, 0])], vec![scored(1, 1, [3, 0, 0])]] {
            let text = serde_json::to_string(&summary(&frames)).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            assert!(text.contains("\"specificity\":{\"frames\":"), "{text}");
        }
    }
}

//! One frame's figures at its operating point.

use super::contour::agreement;
use super::operating_point::{OperatingPoint, invented, shown};
use super::prediction::Prediction;
use super::thresholded::Outcome;

/// What distances are measured with, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Ruler {
    pub width: usize,
    pub height: usize,
    /// Contours this close count as equal in the surface Dice.
    pub tolerance: f64,
}

impl Ruler {
    /// The frame's diagonal, which no distance exceeds.
    pub fn diagonal(self) -> f64 {
        (self.width as f64).hypot(self.height as f64)
    }
}

/// One frame evaluated: a line of `frames.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameMetrics {
    pub frame: String,
    pub patient: u32,
    pub outcome: Outcome,
    /// In pixels; the frame's diagonal where the nerve is missed, none on frames without nerve.
    pub hd95: Option<f64>,
    /// 0 where the nerve is missed, none on frames without nerve.
    pub surface_dice: Option<f64>,
    /// Regions shown that touch no nerve; none where that was not counted.
    pub invented: Option<u32>,
}

impl FrameMetrics {
    /// Of what `point` shows of a prediction.
    pub fn of(prediction: &Prediction, point: OperatingPoint, ruler: Ruler) -> Self {
        let frame = prediction.frame;
        let shown = shown(&prediction.map, ruler.width, point);
        let count = |mask: &[u8]| mask.iter().map(|pixel| u32::from(*pixel)).sum();
        let both = frame.nerve.iter().zip(&shown).map(|(truth, shown)| u32::from(truth & shown)).sum();
        let outcome = Outcome { truth: count(&frame.nerve), shown: count(&shown), both };
        let missed = (outcome.truth > 0).then(|| (ruler.diagonal(), 0.0));
        let agreement = agreement(&frame.nerve, &shown, ruler.width, ruler.tolerance);
        let (hd95, surface_dice) = agreement.map(|a| (a.hd95, a.surface_dice)).or(missed).unzip();
        let invented = Some(invented(&shown, &frame.nerve, ruler.width));
        Self { frame: frame.name.clone(), patient: frame.patient, outcome, hd95, surface_dice, invented }
    }

    /// The same frame when nothing is shown: the baseline.
    pub fn empty(&self, ruler: Ruler) -> Self {
        let outcome = Outcome { shown: 0, both: 0, ..self.outcome };
        let (hd95, surface_dice) = (outcome.truth > 0).then(|| (ruler.diagonal(), 0.0)).unzip();
        Self { outcome, hd95, surface_dice, invented: Some(0), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Frame;
    use crate::metrics::Sums;

    const RULER: Ruler = Ruler { width: 4, height: 3, tolerance: 1.0 };

    fn scored(nerve: [u8; 12], map: [u8; 12]) -> FrameMetrics {
        let frame = Frame { name: "1_1".into(), patient: 1, luma: [0; 12].into(), nerve: nerve.into() };
        let sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        let prediction = Prediction { frame: &frame, map: map.into(), sums };
        FrameMetrics::of(&prediction, OperatingPoint { threshold: 0.5, min_area: 2 }, RULER)
    }

    #[test]
    fn the_rule_for_empty_masks_holds() {
        let nerve = [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0];
        let map = nerve.map(|n| n * 255);
        let right = scored(nerve, map);
        assert_eq!(
            (right.outcome, right.hd95, right.surface_dice),
            (Outcome { truth: 4, shown: 4, both: 4 }, Some(0.0), Some(1.0))
        );
        let missed = scored(nerve, [0; 12]);
        assert_eq!((missed.hd95, missed.surface_dice), (Some(5.0), Some(0.0)));
        assert_eq!(missed, right.empty(RULER));
        let invented = scored([0; 12], map);
        assert_eq!((invented.outcome.shown, invented.hd95, invented.surface_dice), (4, None, None));
        assert_eq!((invented.invented, right.invented), (Some(1), Some(0)));
        let nothing = scored([0; 12], [0; 12]);
        assert_eq!((nothing.hd95, nothing.surface_dice), (None, None));
        // One pixel is under the least area.
        let speck = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200];
        assert_eq!(scored([0; 12], speck), nothing);
    }
}

//! Thresholded metrics: Dice, IoU and presence at an operating point.

use serde::Serialize;

/// Pixels of one frame at an operating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Nerve in truth.
    pub truth: u32,
    /// Shown as nerve.
    pub shown: u32,
    /// Both.
    pub both: u32,
}

/// Figures over frames at an operating point; none where there is no frame to evaluate on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Thresholded {
    /// Frames evaluated.
    pub frames: usize,
    /// Frames with nerve in truth.
    pub nerve_frames: usize,
    /// Mean over frames with nerve, 0 where none is shown.
    pub dice: Option<f64>,
    /// Mean over frames with nerve.
    pub iou: Option<f64>,
    /// Part of all frames where nerve is shown exactly when there is one.
    pub presence: Option<f64>,
    /// Part of frames with nerve where one is shown.
    pub sensitivity: Option<f64>,
    /// Part of frames without nerve where none is shown.
    pub specificity: Option<f64>,
}

impl Outcome {
    /// 2I / (T + S); 1 where neither truth nor overlay has any nerve.
    pub fn dice(self) -> f64 {
        match self.truth + self.shown {
            0 => 1.0,
            sum => 2.0 * f64::from(self.both) / f64::from(sum),
        }
    }

    /// I / (T + S - I); 1 where neither has any nerve.
    pub fn iou(self) -> f64 {
        match self.truth + self.shown - self.both {
            0 => 1.0,
            union => f64::from(self.both) / f64::from(union),
        }
    }

    /// Whether nerve is shown exactly when there is one.
    pub fn presence_is_right(self) -> bool {
        (self.truth > 0) == (self.shown > 0)
    }
}

impl Thresholded {
    /// Over `outcomes`.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mean = |values: &[f64]| match values.len() {
            0 => None,
            n => Some(values.iter().sum::<f64>() / n as f64),
        };
        let right = |o: &Outcome| f64::from(u8::from(o.presence_is_right()));
        let (nerve, none): (Vec<Outcome>, Vec<_>) = outcomes.iter().partition(|o| o.truth > 0);
        let over = |outcomes: &[Outcome], value: &dyn Fn(&Outcome) -> f64| {
            mean(&outcomes.iter().map(value).collect::<Vec<_>>())
        };
        Self {
            frames: outcomes.len(),
            nerve_frames: nerve.len(),
            dice: over(&nerve, &|o| o.dice()),
            iou: over(&nerve, &|o| o.iou()),
            presence: over(outcomes, &right),
            sensitivity: over(&nerve, &right),
            specificity: over(&none, &right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_figures_equal_hand_computed_values() {
        let outcome = |truth, shown, both| Outcome { truth, shown, both };
        let thresholded =
            Thresholded::of(&[outcome(4, 4, 2), outcome(4, 0, 0), outcome(0, 3, 0), outcome(0, 0, 0)]);
        assert_eq!((thresholded.frames, thresholded.nerve_frames), (4, 2));
        assert_eq!((thresholded.dice, thresholded.iou), (Some(0.25), Some(1.0 / 6.0)));
        let parts = [thresholded.presence, thresholded.sensitivity, thresholded.specificity];
        assert_eq!(parts, [Some(0.5); 3]);
    }

    #[test]
    fn figures_without_a_frame_to_judge_by_are_none() {
        assert_eq!(Thresholded::of(&[]), Thresholded::default());
        let nerve = Thresholded::of(&[Outcome { truth: 4, shown: 4, both: 4 }]);
        assert_eq!((nerve.dice, nerve.sensitivity, nerve.specificity), (Some(1.0), Some(1.0), None));
        assert!(serde_json::to_string(&nerve).unwrap().contains("\"specificity\":null"));
        let none = Thresholded::of(&[Outcome { truth: 0, shown: 0, both: 0 }]);
        assert_eq!((none.dice, none.iou, none.sensitivity), (None, None, None));
        assert_eq!((none.presence, none.specificity), (Some(1.0), Some(1.0)));
    }
}

//! The measures of a frame, and their means with intervals.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bootstrap::{interval, resample};
use super::frame_metrics::FrameMetrics;

/// One figure of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// As in `summary.json`.
    pub name: &'static str,
    pub label: &'static str,
    /// Over which frames, and what it means.
    pub about: &'static str,
    pub unit: Unit,
    /// None where the frame has no value.
    pub of: fn(&FrameMetrics) -> Option<f64>,
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 0..1, more is better.
    Overlap,
    /// A part of the frames, more is better.
    Part,
    /// Pixels, less is better.
    Pixels,
    /// A number of things in a frame, less is better.
    Count,
}

/// Every measure, in the order of tables.
pub const MEASURES: [Measure; 10] = [
    Measure {
        name: "dice",
        label: "Dice",
        about: "frames with nerve; 0 where it is missed",
        unit: Unit::Overlap,
        of: |f| on_nerve(f).map(|f| f.outcome.dice()),
    },
    Measure {
        name: "iou",
        label: "IoU",
        about: "frames with nerve; 0 where it is missed",
        unit: Unit::Overlap,
        of: |f| on_nerve(f).map(|f| f.outcome.iou()),
    },
    Measure {
        name: "surface_dice",
        label: "surface Dice",
        about: "frames with nerve; 0 where it is missed",
        unit: Unit::Overlap,
        of: |f| f.surface_dice,
    },
    Measure {
        name: "hd95",
        label: "HD95",
        about: "frames with nerve; the frame's diagonal where it is missed",
        unit: Unit::Pixels,
        of: |f| f.hd95,
    },
    Measure {
        name: "hd95_found",
        label: "HD95 where found",
        about: "frames with nerve where one is shown",
        unit: Unit::Pixels,
        of: |f| f.hd95.filter(|_| f.outcome.shown > 0),
    },
    Measure {
        name: "presence",
        label: "presence right",
        about: "all frames",
        unit: Unit::Part,
        of: |f| Some(part(f.outcome.presence_is_right())),
    },
    Measure {
        name: "sensitivity",
        label: "sensitivity",
        about: "frames with nerve where one is shown",
        unit: Unit::Part,
        of: |f| on_nerve(f).map(|f| part(f.outcome.shown > 0)),
    },
    Measure {
        name: "specificity",
        label: "specificity",
        about: "frames without nerve where none is shown",
        unit: Unit::Part,
        of: |f| (f.outcome.truth == 0).then(|| part(f.outcome.shown == 0)),
    },
    Measure {
        name: "invented",
        label: "invented regions",
        about: "all frames; regions shown in a frame that touch no nerve",
        unit: Unit::Count,
        of: |f| f.invented.map(f64::from),
    },
    Measure {
        name: "dice_all",
        label: "Dice of all frames",
        about: "1 where there is no nerve and none is shown",
        unit: Unit::Overlap,
        of: |f| Some(f.outcome.dice()),
    },
];

fn on_nerve(frame: &FrameMetrics) -> Option<&FrameMetrics> {
    (frame.outcome.truth > 0).then_some(frame)
}

fn part(is: bool) -> f64 {
    f64::from(u8::from(is))
}

impl Measure {
    /// By its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MEASURES.iter().find(|measure| measure.name == name)
    }

    /// A figure as text; a dash where there is none.
    pub fn text(&self, value: Option<f64>) -> String {
        match (value, self.unit) {
            (None, _) => "–".into(),
            (Some(value), Unit::Overlap) => format!("{value:.3}"),
            (Some(value), Unit::Pixels) => format!("{value:.1}"),
            (Some(value), Unit::Count) => format!("{value:.2}"),
            (value, Unit::Part) => percent(value),
        }
    }

    /// An interval as text; empty where there is none.
    pub fn range(&self, interval: Option<[f64; 2]>) -> String {
        interval.map_or_else(String::new, |ends| {
            let [low, high] = ends.map(|end| self.text(Some(end)));
            // A figure of its own would hide which of two signs is meant.
            if ends[0] < 0.0 { format!("{low} to {high}") } else { format!("{low}–{high}") }
        })
    }

    /// The mean over `frames`.
    pub fn mean<'a>(&self, frames: impl IntoIterator<Item = &'a FrameMetrics>) -> Option<f64> {
        let values = frames.into_iter().filter_map(self.of);
        let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / count as f64)
    }

    /// Means over `frames` with intervals over their patients.
    pub fn estimate<'a>(&self, frames: impl IntoIterator<Item = &'a FrameMetrics>) -> Estimate {
        let mut patients = BTreeMap::<u32, Sum>::new();
        for frame in frames {
            if let Some(value) = (self.of)(frame) {
                patients.entry(frame.patient).or_default().add(value);
            }
        }
        let patients: Vec<Sum> = patients.into_values().collect();
        let over = |statistic: fn(&mut dyn Iterator<Item = &Sum>) -> Option<f64>| {
            let value = statistic(&mut patients.iter());
            // One patient says nothing about the next.
            let interval = (patients.len() > 1).then(|| interval(&resample(&patients, statistic)));
            (value, interval.flatten())
        };
        let (mean, interval) = over(over_frames);
        let (patient_mean, patient_interval) = over(over_patients);
        let frames = patients.iter().map(|sum| sum.frames).sum();
        Estimate { frames, patients: patients.len(), mean, interval, patient_mean, patient_interval }
    }
}

/// Means of a measure with 95% intervals by the bootstrap over patients; none of either where no
/// frame has a value, no interval with one patient.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Frames with a value.
    pub frames: usize,
    /// Patients with a value.
    pub patients: usize,
    /// Every frame weighs the same.
    pub mean: Option<f64>,
    pub interval: Option<[f64; 2]>,
    /// Mean of the patients' means: every patient weighs the same.
    pub patient_mean: Option<f64>,
    pub patient_interval: Option<[f64; 2]>,
}

/// A patient's frames.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    frames: usize,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.frames += 1;
    }
}

fn over_frames(patients: &mut dyn Iterator<Item = &Sum>) -> Option<f64> {
    let (sum, frames) = patients.fold((0.0, 0), |(sum, frames), p| (sum + p.sum, frames + p.frames));
    (frames > 0).then(|| sum / frames as f64)
}

fn over_patients(patients: &mut dyn Iterator<Item = &Sum>) -> Option<f64> {
    let (sum, count) =
        patients.fold((0.0, 0usize), |(sum, count), p| (sum + p.sum / p.frames as f64, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// A part as text; a dash where there is none.
pub fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "–".into(), |part| format!("{:.1}%", part * 100.0))
}

#[cfg(test)]
pub mod tests {
    use super::super::thresholded::Outcome;
    use super::*;

    /// A frame with given pixels; distances as the rule for empty masks has them, else 2 and 0.5.
    pub fn scored(patient: u32, number: u32, [truth, shown, both]: [u32; 3]) -> FrameMetrics {
        let distance = match (truth, shown) {
            (0, _) => None,
            (_, 0) => Some((5.0, 0.0)),
            _ => Some((2.0, 0.5)),
        };
        let (hd95, surface_dice) = distance.unzip();
        let outcome = Outcome { truth, shown, both };
        FrameMetrics {
            frame: format!("{patient}_{number}"),
            patient,
            outcome,
            hd95,
            surface_dice,
            invented: None,
        }
    }

    fn means(frames: &[FrameMetrics]) -> Vec<Option<f64>> {
        MEASURES.iter().map(|m| m.mean(frames)).collect()
    }

    #[test]
    fn measures_equal_hand_computed_values() {
        let frames = [
            scored(1, 1, [4, 4, 2]),
            scored(1, 2, [4, 0, 0]),
            scored(2, 1, [0, 3, 0]),
            scored(2, 2, [0, 0, 0]),
        ];
        let half = Some(0.5);
        let expected = [
            Some(0.25),
            Some(1.0 / 6.0),
            Some(0.25),
            Some(3.5),
            Some(2.0),
            half,
            half,
            half,
            None,
            Some(0.375),
        ];
        assert_eq!(means(&frames), expected);
    }

    #[test]
    fn patients_weigh_the_same_or_their_frames_do() {
        let frames = [scored(1, 1, [4, 4, 4]), scored(2, 1, [4, 0, 0]), scored(2, 2, [4, 0, 0])];
        let dice = MEASURES[0].estimate(&frames);
        assert_eq!((dice.mean, dice.patient_mean), (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!((dice.frames, dice.patients), (3, 2));
        assert_eq!((dice.interval, dice.patient_interval), (Some([0.0, 1.0]), Some([0.0, 1.0])));
    }

    #[test]
    fn one_patient_has_no_interval_and_no_frame_no_mean() {
        let one = MEASURES[0].estimate(&[scored(1, 1, [4, 4, 4]), scored(1, 2, [4, 4, 2])]);
        assert_eq!((one.mean, one.interval, one.patient_interval), (Some(0.75), None, None));
        let specificity = Measure::named("specificity").unwrap();
        let none = specificity.estimate(&[scored(1, 1, [4, 4, 4])]);
        assert_eq!((none.frames, none.mean, none.patient_mean), (0, None, None));
        assert_eq!(means(&[]), [None; 10]);
    }

    #[test]
    fn figures_are_text_in_their_unit() {
        let text = |name: &str, value| Measure::named(name).unwrap().text(value);
        assert_eq!(text("dice", Some(0.5)), "0.500");
        assert_eq!(text("hd95", Some(12.34)), "12.3");
        assert_eq!((text("presence", Some(0.5)), text("iou", None)), ("50.0%".into(), "–".into()));
        assert_eq!(MEASURES[0].range(Some([0.25, 0.5])), "0.250–0.500");
        assert_eq!(MEASURES[0].range(Some([-0.25, 0.5])), "-0.250 to 0.500");
    }
}

//! Two evaluations of the same frames, frame by frame.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use super::saved::SavedEvaluation;
use crate::metrics::{Change, FrameMetrics, MEASURES, Measure, change};

/// Mean Dice of a patient that moves less than this stays the same.
const CLEARLY: f64 = 0.01;

/// Everything found.
pub struct Comparison {
    pub a: SavedEvaluation,
    pub b: SavedEvaluation,
    pub changes: Vec<Change>,
    /// With nerve, those that lost most first.
    pub patients: Vec<PatientChange>,
}

/// One patient's mean Dice and wrong presences.
#[derive(Debug, Clone)]
pub struct PatientChange {
    pub patient: u32,
    pub frames: usize,
    pub dice: [f64; 2],
    /// Frames where presence is wrong.
    pub wrong: [usize; 2],
}

impl PatientChange {
    /// B - A.
    pub fn difference(&self) -> f64 {
        self.dice[1] - self.dice[0]
    }

    /// Whether Dice fell clearly.
    pub fn is_worse(&self) -> bool {
        self.difference() < -CLEARLY
    }

    /// Whether Dice rose clearly.
    pub fn is_better(&self) -> bool {
        self.difference() > CLEARLY
    }
}

impl Comparison {
    /// Of evaluations of the same frames with the same truth.
    pub fn of(a: SavedEvaluation, b: SavedEvaluation) -> Result<Self> {
        check(&a, &b)?;
        let mut patients = BTreeMap::<u32, Vec<[&FrameMetrics; 2]>>::new();
        for (first, second) in a.frames.values().zip(b.frames.values()) {
            patients.entry(first.patient).or_default().push([first, second]);
        }
        // HD95 where found is over other frames in each.
        let measures = MEASURES.iter().filter(|measure| measure.name != "hd95_found");
        let changes = measures.filter_map(|measure| change(measure, &patients)).collect();
        let mut patients: Vec<_> =
            patients.iter().filter_map(|(patient, pairs)| patient_change(*patient, pairs)).collect();
        patients.sort_by(|x, y| x.difference().total_cmp(&y.difference()));
        Ok(Self { a, b, changes, patients })
    }

    /// Every frame, A and B.
    pub fn pairs(&self) -> impl Iterator<Item = [&FrameMetrics; 2]> {
        self.a.frames.values().zip(self.b.frames.values()).map(|(a, b)| [a, b])
    }

    /// Frames where only one of both shows a nerve; those that B gets wrong first.
    pub fn flips(&self) -> Vec<[&FrameMetrics; 2]> {
        let shows = |frame: &FrameMetrics| frame.outcome.shown > 0;
        let mut flips: Vec<_> = self.pairs().filter(|[a, b]| shows(a) != shows(b)).collect();
        flips.sort_by_key(|[_, b]| b.outcome.presence_is_right());
        flips
    }

    /// Frames whose Dice fell, most first.
    pub fn fallen(&self) -> Vec<[&FrameMetrics; 2]> {
        let difference = |[a, b]: &[&FrameMetrics; 2]| b.outcome.dice() - a.outcome.dice();
        let mut fallen: Vec<_> = self.pairs().filter(|pair| difference(pair) < 0.0).collect();
        fallen.sort_by(|x, y| difference(x).total_cmp(&difference(y)));
        fallen
    }
}

/// Why the two cannot be compared.
fn check(a: &SavedEvaluation, b: &SavedEvaluation) -> Result<()> {
    let [first, second] = [a, b].map(|e| e.folder.display());
    let missing = |from: &SavedEvaluation, to: &SavedEvaluation| {
        let names: Vec<&String> = from.frames.keys().filter(|name| !to.frames.contains_key(*name)).collect();
        names.first().map(|name| (names.len(), (*name).clone()))
    };
    if let Some((count, name)) = missing(a, b) {
        bail!(
            "{count} frames of {first} are not in {second}, such as {name}; evaluate both on the same frames"
        );
    }
    if let Some((count, name)) = missing(b, a) {
        bail!(
            "{count} frames of {second} are not in {first}, such as {name}; evaluate both on the same frames"
        );
    }
    for (one, other) in a.frames.values().zip(b.frames.values()) {
        ensure!(
            one.outcome.truth == other.outcome.truth && one.patient == other.patient,
            "frame {}: its true nerve has {} pixels in {first} and {} in {second}; the masks were changed between \
             them, evaluate both again",
            one.frame,
            one.outcome.truth,
            other.outcome.truth
        );
    }
    ensure!(
        a.about.data == b.about.data,
        "{first} and {second} were evaluated on different data of the same names; evaluate both on one"
    );
    ensure!(!a.frames.is_empty(), "{first} has no frames");
    let [x, y] = [a, b].map(|e| e.about.tolerance);
    ensure!(
        x == y,
        "surface Dice at {x} pixels in {first} and {y} in {second}; give both the same --tolerance"
    );
    Ok(())
}

fn patient_change(patient: u32, pairs: &[[&FrameMetrics; 2]]) -> Option<PatientChange> {
    let dice = Measure::named("dice")?;
    let of = |side: usize| dice.mean(pairs.iter().map(|pair| pair[side]));
    let wrong = |side: usize| pairs.iter().filter(|pair| !pair[side].outcome.presence_is_right()).count();
    Some(PatientChange { patient, frames: pairs.len(), dice: [of(0)?, of(1)?], wrong: [wrong(0), wrong(1)] })
}

#[cfg(test)]
pub mod tests {
    use super::super::saved::About;
    use super::*;
    use crate::metrics::measure::tests::scored;

    fn evaluation(name: &str, frames: Vec<FrameMetrics>) -> SavedEvaluation {
        let about = About {
            title: name.into(),
            warnings: vec![],
            data: "d".into(),
            tolerance: 4.0,
            ..About::default()
        };
        let frames = frames.into_iter().map(|frame| (frame.frame.clone(), frame)).collect();
        SavedEvaluation { folder: name.into(), about, frames }
    }

    fn first() -> Vec<FrameMetrics> {
        vec![
            scored(1, 1, [4, 4, 4]),
            scored(1, 2, [0, 0, 0]),
            scored(2, 1, [4, 4, 2]),
            scored(3, 1, [4, 4, 1]),
        ]
    }

    fn second() -> Vec<FrameMetrics> {
        vec![
            scored(1, 1, [4, 4, 2]),
            scored(1, 2, [0, 3, 0]),
            scored(2, 1, [4, 4, 4]),
            scored(3, 1, [4, 4, 1]),
        ]
    }

    /// Patient 1 loses half its Dice and invents a nerve, patient 2 wins half, patient 3 stays.
    pub fn comparison() -> Comparison {
        Comparison::of(evaluation("a", first()), evaluation("b", second())).unwrap()
    }

    #[test]
    fn changes_are_paired_by_patient() {
        let comparison = comparison();
        let change = |name: &str| comparison.changes.iter().find(|c| c.measure.name == name).unwrap();
        let dice = change("dice");
        assert!((dice.means[0] - 1.75 / 3.0).abs() < 1e-12 && dice.difference().abs() < 1e-12);
        assert_eq!(dice.interval, Some([-0.5, 0.5]));
        // Of 27 draws of three, ten have more of patient 2 than of patient 1.
        assert!((dice.above.unwrap() - 10.0 / 27.0).abs() < 0.02, "{dice:?}");
        let specificity = change("specificity");
        assert_eq!((specificity.means, specificity.interval, specificity.above), ([1.0, 0.0], None, None));
        assert!(comparison.changes.iter().all(|c| c.measure.name != "hd95_found"));
    }

    #[test]
    fn the_worse_and_the_flipped_are_named() {
        let comparison = comparison();
        let worse: Vec<u32> =
            comparison.patients.iter().filter(|p| p.is_worse()).map(|p| p.patient).collect();
        let better: Vec<u32> =
            comparison.patients.iter().filter(|p| p.is_better()).map(|p| p.patient).collect();
        assert_eq!((worse, better), (vec![1], vec![2]));
        assert_eq!((comparison.patients[0].wrong, comparison.patients[0].frames), ([0, 1], 2));
        let names =
            |pairs: Vec<[&FrameMetrics; 2]>| pairs.iter().map(|[a, _]| a.frame.clone()).collect::<Vec<_>>();
        assert_eq!(names(comparison.flips()), ["1_2"]);
        assert_eq!(names(comparison.fallen()), ["1_2", "1_1"]);
    }

    #[test]
    fn equal_evaluations_differ_by_nothing() {
        let same = Comparison::of(evaluation("a", first()), evaluation("b", first())).unwrap();
        assert!(same.changes.iter().all(|c| c.difference() == 0.0));
        assert_eq!(same.changes[0].interval, Some([0.0, 0.0]));
        assert_eq!(same.changes[0].above, Some(0.0));
        assert!(same.flips().is_empty() && same.fallen().is_empty());
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let says = |b: SavedEvaluation| {
            Comparison::of(evaluation("first", first()), b).err().map(|error| error.to_string()).unwrap()
        };
        let fewer = says(evaluation("second", second()[1..].to_vec()));
        assert!(fewer.contains("1 frames of first are not in second, such as 1_1"), "{fewer}");
        let mut more = second();
        more.push(scored(9, 9, [1, 1, 1]));
        assert!(says(evaluation("second", more)).contains("1 frames of second are not in first"));
        let mut truth = second();
        truth[0].outcome.truth = 5;
        assert!(says(evaluation("second", truth)).contains("frame 1_1: its true nerve has 4 pixels"));
        let mut data = evaluation("second", second());
        data.about.data = "other".into();
        assert!(says(data).contains("different data"));
        let mut tolerance = evaluation("second", second());
        tolerance.about.tolerance = 2.0;
        assert!(says(tolerance).contains("--tolerance"));
    }
}

//! A measure in two evaluations of the same frames.

use std::collections::BTreeMap;

use super::bootstrap::{interval, resample};
use super::frame_metrics::FrameMetrics;
use super::measure::Measure;

/// One measure over all frames.
#[derive(Debug, Clone)]
pub struct Change {
    pub measure: &'static Measure,
    pub means: [f64; 2],
    /// Of B - A; none with one patient.
    pub interval: Option<[f64; 2]>,
    /// Part of the resamples where B has the larger figure; none with one patient.
    pub above: Option<f64>,
}

impl Change {
    /// Whether B has A's figure in every draw.
    pub fn is_unchanged(&self) -> bool {
        self.difference() == 0.0 && self.interval.is_none_or(|ends| ends == [0.0; 2])
    }

    /// B - A.
    pub fn difference(&self) -> f64 {
        self.means[1] - self.means[0]
    }
}

/// Sums of A and B, and how many frames have a value.
pub type Sums = ([f64; 2], usize);

/// `measure` over the frames that have a value in both; none where there is no such frame.
pub fn change(
    measure: &'static Measure,
    patients: &BTreeMap<u32, Vec<[&FrameMetrics; 2]>>,
) -> Option<Change> {
    let sums = patients.values().map(|pairs| {
        pairs.iter().fold(([0.0; 2], 0), |([x, y], count): Sums, pair| match pair.map(measure.of) {
            [Some(a), Some(b)] => ([x + a, y + b], count + 1),
            _ => ([x, y], count),
        })
    });
    let sums: Vec<Sums> = sums.filter(|(_, count)| *count > 0).collect();
    let means = |patients: &mut dyn Iterator<Item = &Sums>| {
        let ([x, y], count) =
            patients.fold(([0.0; 2], 0), |([x, y], count), ([a, b], n)| ([x + a, y + b], count + n));
        (count > 0).then(|| [x / count as f64, y / count as f64])
    };
    let all = means(&mut sums.iter())?;
    let draws = resample(&sums, |drawn| means(drawn).map(|[a, b]| b - a));
    let several = sums.len() > 1;
    let above =
        draws.iter().filter(|difference| **difference > 0.0).count() as f64 / draws.len().max(1) as f64;
    Some(Change {
        measure,
        means: all,
        interval: interval(&draws).filter(|_| several),
        above: several.then_some(above),
    })
}

/// What became of a frame whose presence changed.
pub fn flip([a, b]: [&FrameMetrics; 2]) -> &'static str {
    match (a.outcome.truth > 0, b.outcome.shown > 0) {
        (true, true) => "nerve found now",
        (true, false) => "nerve missed now",
        (false, true) => "nerve invented now",
        (false, false) => "invented nerve gone",
    }
}

//! Chooses the golden frames. They must test the engine, and a frame on the edge of being shown tests only noise.

use anyhow::Result;
use nervelight_engines::bundle::threshold_byte;
use nervelight_engines::components::shown;
use nervelight_engines::contract::dice;
use nervelight_engines::golden::Golden;
use nervelight_engines::{PIXELS, plane};
use rayon::prelude::*;

use crate::metrics::OperatingPoint;
use crate::metrics::Prediction;

/// How far the threshold may move, in bytes of a map: 0.15 of probability.
const MARGIN: u8 = 38;
/// Thirds by size of the nerve shown, and from each the clearest and the faintest.
const SIZES: usize = 3;
/// Frames that show no nerve; twice as many where none shows any.
const EMPTY: usize = 2;

/// What makes a frame fit.
struct Candidate {
    /// In the list of predictions.
    at: usize,
    patient: u32,
    /// Pixels shown as nerve.
    area: usize,
    /// Mean byte of the map where nerve is shown, else the largest byte.
    strength: f64,
    /// Dice of what is shown with the threshold [`MARGIN`] lower and higher.
    stability: f64,
}

/// Indices of the frames to keep, in maps with rows of `width` bytes: small, middle and large nerves, of each a clear
/// and a faint one, then frames without; all of them from the half whose overlay changes least when the threshold
/// moves, of as many patients as can be.
pub fn choose(predictions: &[Prediction], width: usize, point: OperatingPoint) -> Vec<usize> {
    let candidate = |(at, prediction): (usize, &Prediction)| {
        let byte = threshold_byte(point.threshold);
        let with = |threshold| shown(&prediction.map, width, threshold, point.min_area);
        let now = with(byte);
        let area = now.iter().filter(|shown| **shown > 0).count();
        let inside = prediction.map.iter().zip(&now).filter(|(_, shown)| **shown > 0);
        let strength = match area {
            0 => f64::from(prediction.map.iter().copied().max().unwrap_or(0)),
            _ => inside.map(|(byte, _)| f64::from(*byte)).sum::<f64>() / area as f64,
        };
        let (low, high) = (byte.saturating_sub(MARGIN).max(1), byte.saturating_add(MARGIN));
        let stability = dice(&with(low), &with(high), 1);
        Candidate { at, patient: prediction.frame.patient, area, strength, stability }
    };
    let candidates: Vec<Candidate> = predictions.par_iter().enumerate().map(candidate).collect();
    let (nerve, empty): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| c.area > 0);
    let mut chosen = Chosen::default();
    let mut nerve = steady_half(nerve, 2 * SIZES);
    nerve.sort_by_key(|c| (c.area, c.at));
    let third = nerve.len().div_ceil(SIZES).max(1);
    for group in nerve.chunks(third) {
        chosen.take(group, |c| -c.strength);
        chosen.take(group, |c| c.strength);
    }
    let count = if nerve.is_empty() { 2 * EMPTY } else { EMPTY };
    let empty = steady_half(empty, count);
    for i in 0..count {
        chosen.take(&empty, |c| if i % 2 == 0 { c.strength } else { -c.strength });
    }
    chosen.frames
}

/// Golden frames of `predictions`, whose maps the engine on a cart must give.
pub fn golden(predictions: &[Prediction], width: usize, point: OperatingPoint) -> Result<Vec<Golden>> {
    let goldens = choose(predictions, width, point).into_iter().map(|i| {
        let Prediction { frame, map, .. } = &predictions[i];
        let (mut crop, mut expected) = (plane(), plane());
        anyhow::ensure!(frame.luma.len() == PIXELS, "{}: is no crop of the contract's size", frame.name);
        crop.copy_from_slice(&frame.luma);
        expected.copy_from_slice(map);
        Ok(Golden { name: frame.name.clone(), crop, map: expected })
    });
    goldens.collect()
}

/// The half that changes least, at least `least` of them.
fn steady_half(mut candidates: Vec<Candidate>, least: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.stability.total_cmp(&a.stability).then(a.at.cmp(&b.at)));
    candidates.truncate(candidates.len().div_ceil(2).max(least));
    candidates
}

#[derive(Default)]
struct Chosen {
    frames: Vec<usize>,
    patients: Vec<u32>,
}

impl Chosen {
    /// Takes the candidate with the least `rank` that is not taken, of a patient seen least often so far.
    fn take(&mut self, candidates: &[Candidate], rank: impl Fn(&Candidate) -> f64) {
        let seen = |c: &Candidate| self.patients.iter().filter(|p| **p == c.patient).count();
        let free = candidates.iter().filter(|c| !self.frames.contains(&c.at));
        let best =
            free.min_by(|a, b| seen(a).cmp(&seen(b)).then(rank(a).total_cmp(&rank(b))).then(a.at.cmp(&b.at)));
        if let Some(&Candidate { at, patient, .. }) = best {
            self.frames.push(at);
            self.patients.push(patient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Frame;
    use crate::metrics::Sums;

    const WIDTH: usize = 576;
    const POINT: OperatingPoint = OperatingPoint { threshold: 0.5, min_area: 100 };

    /// A square of `side` pixels with this byte, in a border of another.
    fn map(side: usize, byte: u8, border: u8) -> Vec<u8> {
        let mut map = vec![0; PIXELS];
        for row in 0..side + 10 {
            for column in 0..side + 10 {
                let inside = (5..side + 5).contains(&row) && (5..side + 5).contains(&column);
                map[(row + 50) * WIDTH + column + 50] = if inside { byte } else { border };
            }
        }
        map
    }

    fn frame(at: usize, patient: u32) -> Frame {
        Frame {
            name: format!("{patient}_{at}"),
            patient,
            luma: vec![0; PIXELS].into(),
            nerve: vec![0; PIXELS].into(),
        }
    }

    #[test]
    fn steady_frames_of_every_size_and_of_none_are_kept() {
        let maps: Vec<Vec<u8>> = (0..12)
            .map(|i| map(20 + 5 * i, if i % 2 == 0 { 250 } else { 180 }, 0))
            // On the edge: the border comes and goes with the threshold, or all of it does.
            .chain((0..12).map(|i| map(20 + 5 * i, 250, 120)))
            .chain((0..4).map(|i| map(30, 10 + 10 * i, 0)))
            .chain((0..4).map(|_| map(30, 126, 0)))
            .collect();
        let frames: Vec<Frame> = (0..maps.len()).map(|i| frame(i, (i % 4) as u32)).collect();
        let predictions: Vec<Prediction> = frames
            .iter()
            .zip(&maps)
            .map(|(frame, map)| Prediction {
                frame,
                map: map.clone(),
                sums: Sums { both: 0.0, truth: 0.0, predicted: 0.0 },
            })
            .collect();
        let chosen = choose(&predictions, WIDTH, POINT);
        assert_eq!(chosen.len(), 8, "{chosen:?}");
        let (nerve, empty) = chosen.split_at(6);
        assert!(nerve.iter().all(|i| *i < 12), "{chosen:?}");
        assert!(empty.iter().all(|i| (24..28).contains(i)), "{chosen:?}");
        for third in [0..4, 4..8, 8..12] {
            let of: Vec<_> = nerve.iter().filter(|i| third.contains(*i)).collect();
            assert_eq!(of.len(), 2, "{chosen:?}");
            assert_eq!(of.iter().filter(|i| **i % 2 == 0).count(), 1, "clear and faint: {chosen:?}");
        }
        let patients: std::collections::BTreeSet<_> = nerve.iter().map(|i| frames[*i].patient).collect();
        assert_eq!(patients.len(), 4, "{chosen:?}");
    }

    #[test]
    fn a_model_that_shows_nothing_still_has_golden_frames() {
        let frames: Vec<Frame> = (0..3).map(|i| frame(i, 1)).collect();
        let predictions: Vec<Prediction> = frames
            .iter()
            .map(|frame| Prediction {
                frame,
                map: vec![3; PIXELS],
                sums: Sums { both: 0.0, truth: 0.0, predicted: 0.0 },
            })
            .collect();
        assert_eq!(choose(&predictions, WIDTH, POINT).len(), 3);
        assert!(choose(&[], WIDTH, POINT).is_empty());
    }
}

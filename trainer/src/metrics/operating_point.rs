//! The operating point: the threshold and least area that make a yes or no of a probability map.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use nervelight_engines::bundle::threshold_byte;
use nervelight_engines::components::{self, Components};
use rayon::prelude::*;
use serde::Serialize;

use super::prediction::Prediction;
use super::thresholded::{Outcome, Thresholded};

/// A gain in Dice plus presence below this is chance.
const CLEARLY: f64 = 2e-3;
/// What a region that is invented costs, per frame, in Dice plus presence: a person sees each of them.
const INVENTED: f64 = 0.1;
/// Parts of a typical small nerve (5th percentile) between which the least area is looked for. Under the first a region
/// is a speck, whatever the frames say; over the second frames of a day not seen yet would lose their nerve.
const SPECK: f64 = 0.25;
const SMALL: f64 = 0.5;

/// Threshold and least area, as in a bundle's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Least probability that counts as nerve, 0..1.
    pub threshold: f32,
    /// Least area of a region in pixels.
    pub min_area: u32,
}

/// One connected region of a map.
#[derive(Debug, Clone, Copy, Default)]
struct Region {
    /// Pixels in it.
    area: u32,
    /// Pixels of these that are nerve in truth.
    right: u32,
}

/// A threshold from the command line.
pub fn probability(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("impossible; use more than 0 and at most 1, such as 0.5".into()),
    }
}

/// Truth and regions of one frame at one threshold.
struct Scene {
    truth: u32,
    regions: Vec<Region>,
}

impl Scene {
    /// Regions shown that touch no nerve.
    fn invented(&self, min_area: u32) -> usize {
        self.regions.iter().filter(|r| r.area >= min_area && r.right == 0).count()
    }

    fn outcome(&self, min_area: u32) -> Outcome {
        let kept = self.regions.iter().filter(|r| r.area >= min_area);
        let (shown, both) = kept.fold((0, 0), |(s, b), r| (s + r.area, b + r.right));
        Outcome { truth: self.truth, shown, both }
    }
}

fn truth(prediction: &Prediction) -> u32 {
    prediction.frame.nerve.iter().map(|n| u32::from(*n)).sum()
}

fn scenes<'a, P>(predictions: &[P], width: usize, threshold: f32) -> Vec<Scene>
where
    P: Borrow<Prediction<'a>> + Sync,
{
    let scene = |found: &mut Components, p: &Prediction| {
        found.find(&p.map, width, threshold_byte(threshold));
        let mut regions = BTreeMap::<usize, Region>::new();
        for (run, root, area) in found.runs() {
            let nerve = &p.frame.nerve[run.row * width..][run.start..run.end];
            let region = regions.entry(root).or_default();
            region.area = area as u32;
            region.right += nerve.iter().map(|n| u32::from(*n)).sum::<u32>();
        }
        Scene { truth: truth(p), regions: regions.into_values().collect() }
    };
    predictions.par_iter().map(Borrow::borrow).map_init(Components::default, scene).collect()
}

/// 1 where `point` shows nerve in a map with rows of `width` bytes.
pub fn shown(map: &[u8], width: usize, point: OperatingPoint) -> Vec<u8> {
    components::shown(map, width, threshold_byte(point.threshold), point.min_area)
}

/// Regions of `shown`, 1 or 0 in rows of `width`, that touch no nerve of `truth`.
pub fn invented(shown: &[u8], truth: &[u8], width: usize) -> u32 {
    let mut found = Components::default();
    found.find(shown, width, 1);
    let mut regions = BTreeMap::<usize, bool>::new();
    for (run, root, _) in found.runs() {
        let touches = truth[run.row * width..][run.start..run.end].contains(&1);
        *regions.entry(root).or_default() |= touches;
    }
    regions.values().filter(|touches| !**touches).count() as u32
}

/// Outcome of every frame at `point`.
pub fn outcomes<'a, P>(predictions: &[P], width: usize, point: OperatingPoint) -> Vec<Outcome>
where
    P: Borrow<Prediction<'a>> + Sync,
{
    scenes(predictions, width, point.threshold).iter().map(|s| s.outcome(point.min_area)).collect()
}

/// The point with the best sum of Dice and presence, less what invented regions cost. The one nearest to 0.5 with the
/// smallest area stands unless another is clearly better. The area is between a quarter and half of a typical small
/// nerve's. A given `threshold` or `min_area` is kept.
pub fn choose<'a, P>(
    predictions: &[P],
    width: usize,
    threshold: Option<f32>,
    min_area: Option<u32>,
) -> OperatingPoint
where
    P: Borrow<Prediction<'a>> + Sync,
{
    let thresholds = threshold.map_or(vec![0.5, 0.4, 0.6, 0.3, 0.7], |t| vec![t]);
    let mut nerves: Vec<u32> =
        predictions.iter().map(|p| truth(p.borrow())).filter(|area| *area > 0).collect();
    nerves.sort();
    let areas = match (min_area, nerves.get(nerves.len() / 20)) {
        (Some(given), _) => vec![given],
        (None, None) => vec![1, 100, 200, 400, 600, 800, 1000, 1500, 2000],
        (None, Some(&small)) => {
            let part = |part: f64| ((f64::from(small) * part) as u32).max(1);
            let mut areas: Vec<u32> =
                (0..=4).map(|i| part(SPECK + (SMALL - SPECK) * f64::from(i) / 4.0)).collect();
            areas.dedup();
            areas
        }
    };
    let mut best = (f64::NEG_INFINITY, OperatingPoint { threshold: 0.5, min_area: areas[0] });
    for threshold in thresholds {
        let scenes = scenes(predictions, width, threshold);
        for &min_area in &areas {
            let outcomes: Vec<_> = scenes.iter().map(|s| s.outcome(min_area)).collect();
            let thresholded = Thresholded::of(&outcomes);
            // What no frame has a value for is the same at every point.
            let invented: usize = scenes.iter().map(|s| s.invented(min_area)).sum();
            let cost = INVENTED * invented as f64 / scenes.len().max(1) as f64;
            let score = thresholded.dice.unwrap_or(0.0) + thresholded.presence.unwrap_or(0.0) - cost;
            if score > best.0 + CLEARLY {
                best = (score, OperatingPoint { threshold, min_area });
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Frame;
    use crate::metrics::Sums;

    fn frame(nerve: [u8; 8]) -> Frame {
        Frame { name: "1_1".into(), patient: 1, luma: Box::new([0; 8]), nerve: Box::new(nerve) }
    }

    fn prediction(frame: &Frame, map: [u8; 8]) -> Prediction<'_> {
        let sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        Prediction { frame, map: map.into(), sums }
    }

    #[test]
    fn point_is_chosen_by_presence_where_no_frame_has_a_nerve() {
        let empty = frame([0; 8]);
        let predictions = [prediction(&empty, [140, 140, 0, 0, 0, 0, 0, 0])];
        assert_eq!(choose(&predictions, 8, None, Some(1)), OperatingPoint { threshold: 0.6, min_area: 1 });
        assert_eq!(choose::<Prediction>(&[], 8, None, None), OperatingPoint { threshold: 0.5, min_area: 1 });
    }

    #[test]
    fn thresholds_are_probabilities_above_0() {
        assert_eq!(probability("0.5"), Ok(0.5));
        assert_eq!(probability("1"), Ok(1.0));
        for text in ["0", "-0.1", "1.01", "nan", "inf", "half", ""] {
            assert!(probability(text).unwrap_err().contains("more than 0"), "{text}");
        }
    }

    #[test]
    fn small_regions_are_not_shown() {
        let nerve = frame([1, 1, 1, 0, 0, 0, 0, 0]);
        let predictions = [prediction(&nerve, [255, 255, 255, 0, 0, 0, 0, 255])];
        let at = |min_area| outcomes(&predictions, 8, OperatingPoint { threshold: 0.5, min_area })[0];
        assert_eq!(at(1), Outcome { truth: 3, shown: 4, both: 3 });
        assert_eq!(at(2), Outcome { truth: 3, shown: 3, both: 3 });
        assert_eq!(at(4), Outcome { truth: 3, shown: 0, both: 0 });
        let point = OperatingPoint { threshold: 0.5, min_area: 2 };
        assert_eq!(shown(&predictions[0].map, 8, point), [1, 1, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn specks_are_hidden_though_no_frame_is_empty() {
        // A nerve of 20x20 and two specks of 4x4 beside it: Dice hardly feels them, presence not at all.
        let (width, mut map, mut nerve) = (64, vec![0u8; 64 * 32], vec![0u8; 64 * 32]);
        let mut square = |row: usize, column: usize, side: usize, is_nerve: bool| {
            for r in row..row + side {
                map[r * width + column..][..side].fill(200);
                nerve[r * width + column..][..side].fill(u8::from(is_nerve));
            }
        };
        square(4, 4, 20, true);
        square(2, 40, 4, false);
        square(20, 50, 4, false);
        let frame =
            Frame { name: "1_1".into(), patient: 1, luma: Box::default(), nerve: nerve.clone().into() };
        let sums = Sums { both: 0.0, truth: 0.0, predicted: 0.0 };
        let predictions = [Prediction { frame: &frame, map: map.clone(), sums }];
        let point = choose(&predictions, width, None, None);
        assert_eq!(point, OperatingPoint { threshold: 0.5, min_area: 100 });
        let at = |min_area| {
            invented(&shown(&map, width, OperatingPoint { threshold: 0.5, min_area }), &nerve, width)
        };
        assert_eq!((at(1), at(16), at(17)), (2, 2, 0));
    }

    #[test]
    fn chosen_point_is_the_best_of_those_allowed() {
        let nerve = frame([1, 1, 1, 1, 0, 0, 0, 0]);
        let predictions = [prediction(&nerve, [140, 140, 140, 110, 0, 0, 0, 0])];
        assert_eq!(choose(&predictions, 8, None, None), OperatingPoint { threshold: 0.4, min_area: 1 });
        assert_eq!(choose(&predictions, 8, Some(0.5), None), OperatingPoint { threshold: 0.5, min_area: 1 });
    }
}

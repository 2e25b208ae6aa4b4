//! Agreement of two models on the same frames.

use nervelight_engines::golden::{is_flat, varies};

use crate::status::Durations;
use crate::status::shadow::{AgreementFigures, DiceFigures};

/// Cells of a Dice from 0 to 1.
const CELLS: usize = 1000;
/// Bars of the histogram that is reported.
const BARS: usize = 20;

/// One frame that both have computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Pixels that the shown model shows as nerve.
    pub shown: usize,
    /// The same of the other.
    pub aside: usize,
    /// Dice of the two; 1 where neither shows anything.
    pub dice: f64,
    /// Least and largest value of the shown model's map.
    pub shown_range: (u8, u8),
    /// The same of the other.
    pub aside_range: (u8, u8),
    /// Microseconds of the shown model's engine.
    pub shown_us: u64,
    /// The same of the other.
    pub aside_us: u64,
}

/// Agreement over many frames.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Frames.
    pub pairs: u64,
    /// Frames where either shows a nerve.
    pub either: u64,
    /// Frames where only the shown model does.
    pub only_shown: u64,
    /// Frames where only the other does.
    pub only_aside: u64,
    /// Frames where the shown model's map has one value, and the other's varies.
    pub shown_flat: u64,
    /// The other way round.
    pub aside_flat: u64,
    dice_sum: f64,
    dice: Vec<u32>,
    /// Sums of areas, and of their difference and its square.
    areas: [f64; 4],
    shown: Durations,
    aside: Durations,
}

impl Default for Agreement {
    fn default() -> Self {
        Self {
            pairs: 0,
            either: 0,
            only_shown: 0,
            only_aside: 0,
            shown_flat: 0,
            aside_flat: 0,
            dice_sum: 0.0,
            dice: vec![0; CELLS + 1],
            areas: [0.0; 4],
            shown: Durations::default(),
            aside: Durations::default(),
        }
    }
}

impl Agreement {
    /// Takes in a frame.
    pub fn take(&mut self, pair: &Pair) {
        self.pairs += 1;
        let (shown, aside) = (pair.shown as f64, pair.aside as f64);
        if pair.shown + pair.aside > 0 {
            self.either += 1;
            self.dice_sum += pair.dice;
            self.dice[(pair.dice * CELLS as f64).round().clamp(0.0, CELLS as f64) as usize] += 1;
            let difference = aside - shown;
            for (sum, value) in self.areas.iter_mut().zip([shown, aside, difference, difference * difference])
            {
                *sum += value;
            }
        }
        self.only_shown += u64::from(pair.shown > 0 && pair.aside == 0);
        self.only_aside += u64::from(pair.shown == 0 && pair.aside > 0);
        self.shown_flat += u64::from(is_flat(pair.shown_range) && varies(pair.aside_range));
        self.aside_flat += u64::from(is_flat(pair.aside_range) && varies(pair.shown_range));
        self.shown.record(pair.shown_us);
        self.aside.record(pair.aside_us);
    }

    /// Mean Dice over the frames where either shows a nerve.
    pub fn mean_dice(&self) -> Option<f64> {
        (self.either > 0).then(|| self.dice_sum / self.either as f64)
    }

    /// Share of the frames where only one of them shows a nerve.
    pub fn flips(&self) -> Option<f64> {
        (self.pairs > 0).then(|| (self.only_shown + self.only_aside) as f64 / self.pairs as f64)
    }

    /// The larger of both sums of areas over the smaller.
    pub fn area_factor(&self) -> Option<f64> {
        let [shown, aside, ..] = self.areas;
        (self.either > 0).then(|| shown.max(aside).max(1.0) / shown.min(aside).max(1.0))
    }

    /// The Dice that so large a share `q` of the frames with a nerve do not exceed.
    fn dice_at(&self, q: f64) -> Option<f64> {
        let place = ((q * self.either as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let cell = self.dice.iter().position(|&count| {
            seen += u64::from(count);
            seen >= place
        })?;
        Some(cell as f64 / CELLS as f64)
    }

    /// As others see it.
    pub fn figures(&self) -> AgreementFigures {
        let n = self.either.max(1) as f64;
        let [shown, aside, difference, squares] = self.areas.map(|sum| sum / n);
        let bars = (0..BARS).map(|bar| {
            let width = CELLS / BARS;
            // A Dice of 1 belongs to the last.
            let end = if bar == BARS - 1 { CELLS + 1 } else { (bar + 1) * width };
            self.dice[bar * width..end].iter().map(|&count| u64::from(count)).sum()
        });
        let dice = self.mean_dice().map(|mean| DiceFigures {
            mean: round(mean),
            p5: self.dice_at(0.05).unwrap_or(mean),
            p25: self.dice_at(0.25).unwrap_or(mean),
            p50: self.dice_at(0.5).unwrap_or(mean),
            p75: self.dice_at(0.75).unwrap_or(mean),
            histogram: bars.collect(),
        });
        AgreementFigures {
            frames: self.pairs,
            frames_with_nerve: self.either,
            dice,
            only_shown: self.only_shown,
            only_shadow: self.only_aside,
            shown_flat: self.shown_flat,
            shadow_flat: self.aside_flat,
            area_shown: round(shown),
            area_shadow: round(aside),
            area_bias: round(difference),
            area_scatter: round((squares - difference * difference).max(0.0).sqrt()),
            shown_ms: self.shown.quantiles(),
            shadow_ms: self.aside.quantiles(),
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A frame with areas of both and their Dice.
    pub fn pair(shown: usize, aside: usize, dice: f64) -> Pair {
        let range = |area: usize| if area > 0 { (0, 200) } else { (0, 20) };
        let (shown_range, aside_range) = (range(shown), range(aside));
        Pair { shown, aside, dice, shown_range, aside_range, shown_us: 10_000, aside_us: 20_000 }
    }

    #[test]
    fn agreement_is_counted_over_frames_with_a_nerve() {
        let mut agreement = Agreement::default();
        (0..60).for_each(|_| agreement.take(&pair(1000, 900, 0.9)));
        (0..20).for_each(|_| agreement.take(&pair(0, 0, 1.0)));
        (0..10).for_each(|_| agreement.take(&pair(1000, 0, 0.0)));
        (0..10).for_each(|_| agreement.take(&pair(0, 500, 0.0)));
        assert_eq!((agreement.pairs, agreement.either), (100, 80));
        assert!((agreement.mean_dice().unwrap() - 0.675).abs() < 1e-9);
        assert_eq!(agreement.flips(), Some(0.2));
        let figures = agreement.figures();
        assert_eq!((figures.only_shown, figures.only_shadow), (10, 10));
        let dice = figures.dice.unwrap();
        assert_eq!((dice.p5, dice.p50, dice.p75), (0.0, 0.9, 0.9));
        assert_eq!((dice.histogram[0], dice.histogram[18], dice.histogram.iter().sum()), (20, 60, 80));
        assert_eq!((figures.area_shown, figures.area_shadow, figures.area_bias), (875.0, 737.5, -137.5));
        assert_eq!((figures.shown_ms.p50.round(), figures.shadow_ms.p99.round()), (10.0, 20.0));
        assert!((agreement.area_factor().unwrap() - 875.0 / 737.5).abs() < 1e-9);
    }

    #[test]
    fn a_map_of_one_value_is_odd_only_where_the_other_varies() {
        let mut agreement = Agreement::default();
        let flat = Pair { shown_range: (0, 0), ..pair(0, 1000, 0.0) };
        agreement.take(&flat);
        agreement.take(&Pair { aside_range: (0, 3), aside: 0, ..flat });
        assert_eq!((agreement.shown_flat, agreement.aside_flat), (1, 0));
    }
}

//! Figures of a map, and of the picture that it was made of.

use nervelight_engines::components::Components;
use nervelight_engines::{HEIGHT, PIXELS, Plane, WIDTH};
use serde::{Deserialize, Serialize};

/// Least value of a map (probability x 255) that may be nerve: 5 %.
const POSSIBLE: u8 = 13;
/// Points of the grid lie so many pixels apart.
const STEP: usize = 8;
/// A point changed if its luma did by more, as for the signal.
const NOISE: u8 = 3;

/// Figures of a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Mean binary entropy, in bits, of the pixels that may be nerve: 0 is sure of every one, 1 of none.
    pub uncertainty: f64,
    /// Nerve that is shown, in pixels.
    pub area: u32,
}

/// Takes them; nothing is allocated once the largest number of runs has been seen.
pub struct Gauge {
    entropy: [f32; 256],
    components: Components,
}

impl Gauge {
    /// Ready.
    pub fn new() -> Self {
        let entropy = std::array::from_fn(|value| entropy(value as f32 / 255.0));
        Self { entropy, components: Components::with_room_for(PIXELS) }
    }

    /// Figures of `map`, cut at `threshold`, without nerves of less than `min_area` pixels.
    pub fn take(&mut self, map: &Plane, threshold: u8, min_area: u32) -> Figures {
        let (mut sum, mut possible) = (0.0, 0u32);
        for &value in map.iter().filter(|value| **value >= POSSIBLE) {
            sum += f64::from(self.entropy[usize::from(value)]);
            possible += 1;
        }
        // A few specks are noise, and no nerve that is nearly seen.
        let uncertainty = if possible < (min_area / 4).max(1) { 0.0 } else { sum / f64::from(possible) };
        self.components.find(&map[..], WIDTH, threshold);
        let shown = self.components.runs().filter(|(_, _, area)| *area >= min_area as usize);
        let area = shown.map(|(run, ..)| (run.end - run.start) as u32).sum();
        Figures { uncertainty: (uncertainty * 1e4).round() / 1e4, area }
    }
}

/// Binary entropy of a probability in bits (Shannon, 1948).
fn entropy(p: f32) -> f32 {
    let part = |p: f32| if p > 0.0 { -p * p.log2() } else { 0.0 };
    part(p) + part(1.0 - p)
}

/// Luma on a grid: whether two crops show the same picture.
#[derive(Debug, Clone)]
pub struct Grid(Box<[u8]>);

impl Grid {
    /// Of a crop.
    pub fn of(crop: &Plane) -> Self {
        let rows = (0..HEIGHT).step_by(STEP).map(|y| &crop[y * WIDTH..][..WIDTH]);
        Self(rows.flat_map(|row| row.iter().step_by(STEP)).copied().collect())
    }

    /// Whether the picture moved from `other` to this one, by the share of points that the signal goes by.
    pub fn moved(&self, other: &Self) -> bool {
        let changed = self.0.iter().zip(&other.0).filter(|(a, b)| a.abs_diff(**b) > NOISE).count();
        changed * 200 > self.0.len()
    }
}

/// Whether a nerve of so many pixels `before` and `after` jumped: by `share` of the larger one, which is no speck.
pub fn jumped(before: u32, after: u32, share: f64, min_area: u32) -> bool {
    let larger = before.max(after);
    larger >= min_area.saturating_mul(2).max(1)
        && f64::from(before.abs_diff(after)) >= share * f64::from(larger)
}

#[cfg(test)]
mod tests {
    use nervelight_engines::plane;

    use super::*;

    /// A map with `value` on a square of `side` pixels.
    fn square(side: usize, value: u8) -> Box<Plane> {
        let mut map = plane();
        for row in map.chunks_exact_mut(WIDTH).take(side) {
            row[..side].fill(value);
        }
        map
    }

    #[test]
    fn entropy_is_nothing_at_the_ends_and_a_bit_in_the_middle() {
        assert_eq!((entropy(0.0), entropy(1.0), entropy(0.5)), (0.0, 0.0, 1.0));
        assert!((entropy(0.1) - 0.469).abs() < 1e-3);
    }

    #[test]
    fn a_map_is_uncertain_where_it_may_be_nerve() {
        let mut gauge = Gauge::new();
        let mut take = |map: &Plane| gauge.take(map, 128, 100);
        assert_eq!(take(&plane()), Figures::default());
        assert_eq!(take(&square(40, 255)), Figures { uncertainty: 0.0, area: 1600 });
        let doubtful = take(&square(40, 120));
        assert!(doubtful.uncertainty > 0.99 && doubtful.area == 0, "{doubtful:?}");
        assert_eq!(take(&square(4, 120)).uncertainty, 0.0, "a speck");
        assert_eq!(take(&square(9, 255)).area, 0, "too small to be shown");
    }

    #[test]
    fn a_picture_that_stands_still_has_not_moved() {
        let (a, mut b) = (plane(), plane());
        assert!(!Grid::of(&a).moved(&Grid::of(&b)));
        // A clock in a corner.
        b[..16].fill(255);
        assert!(!Grid::of(&a).moved(&Grid::of(&b)));
        b[..PIXELS / 50].fill(255);
        assert!(Grid::of(&a).moved(&Grid::of(&b)));
    }

    #[test]
    fn a_nerve_jumps_by_a_share_of_the_larger_area() {
        assert!(jumped(0, 1000, 0.5, 100) && jumped(1000, 400, 0.5, 100));
        assert!(!jumped(1000, 600, 0.5, 100), "it changed by less");
        assert!(!jumped(0, 199, 0.5, 100) && !jumped(0, 0, 0.0, 0), "specks");
    }
}

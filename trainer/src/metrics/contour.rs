//! How far the contours of two masks are apart: 95% Hausdorff distance and surface Dice.
//!
//! Both as Nikolov et al. (2018, arXiv:1809.04430) define and their program `surface-distance`
//! computes them: a contour element sits at every corner of pixels where the mask changes and weighs
//! its length by marching squares.

use super::distance::{Place, squared};

/// Part of a contour's length that the 95% Hausdorff distance covers.
const PART: f64 = 0.95;
/// Length of an element by how many of its four pixels are in the mask.
const CORNER: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// Agreement of two contours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// 95% Hausdorff distance: the larger of both directions, in pixels.
    pub hd95: f64,
    /// Part of both contours' length that lies within the tolerance of the other, 0..1.
    pub surface_dice: f64,
}

/// Compares two masks of 0 and 1 with rows of `width` pixels; `tolerance` in pixels. None where a
/// mask is empty: it has no contour.
pub fn agreement(a: &[u8], b: &[u8], width: usize, tolerance: f64) -> Option<Agreement> {
    let (a, b) = (Contour::of(a, width), Contour::of(b, width));
    let ends = |f: fn(Place, Place) -> Place| {
        a.elements.iter().chain(&b.elements).map(|(place, _)| *place).reduce(f)
    };
    let low = ends(|a, b| (a.0.min(b.0), a.1.min(b.1)))?;
    let high = ends(|a, b| (a.0.max(b.0), a.1.max(b.1)))?;
    let bounds = Bounds { low, width: high.0 - low.0 + 1, height: high.1 - low.1 + 1 };
    let (there, back) = (a.distances(&b, &bounds)?, b.distances(&a, &bounds)?);
    let within = |distances: &[(f64, f64)]| {
        // From +0: the sum of no numbers is -0, and would be written so.
        let near = distances.iter().filter(|(away, _)| *away <= tolerance);
        near.fold(0.0, |sum, (_, length)| sum + length)
    };
    Some(Agreement {
        hd95: percentile(&there).max(percentile(&back)),
        surface_dice: (within(&there) + within(&back)) / (a.length() + b.length()),
    })
}

/// Where both contours lie.
struct Bounds {
    low: Place,
    width: usize,
    height: usize,
}

impl Bounds {
    fn place(&self, (x, y): Place) -> Place {
        (x - self.low.0, y - self.low.1)
    }
}

/// The places of a contour, with the length of each.
struct Contour {
    elements: Vec<(Place, f64)>,
}

impl Contour {
    fn of(mask: &[u8], width: usize) -> Self {
        let height = mask.len() / width;
        let at = |x: usize, y: usize| -> u8 {
            // Corners are counted from 1, so that pixels beyond the frame are not in the mask.
            if x == 0 || y == 0 || x > width || y > height { 0 } else { mask[(y - 1) * width + x - 1] }
        };
        let mut elements = vec![];
        for y in 0..=height {
            let row = |y: usize| match y {
                0 => &[][..],
                y if y > height => &[],
                y => &mask[(y - 1) * width..y * width],
            };
            if !row(y).contains(&1) && !row(y + 1).contains(&1) {
                continue;
            }
            for x in 0..=width {
                let [a, b, c, d] = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
                match a + b + c + d {
                    0 | 4 => {}
                    1 | 3 => elements.push(((x, y), CORNER)),
                    _ if a == d => elements.push(((x, y), 2.0 * CORNER)),
                    _ => elements.push(((x, y), 1.0)),
                }
            }
        }
        Self { elements }
    }

    fn length(&self) -> f64 {
        self.elements.iter().map(|(_, length)| length).sum()
    }

    /// Distance and length of every element, nearest first; none where one of the contours is empty.
    fn distances(&self, other: &Self, bounds: &Bounds) -> Option<Vec<(f64, f64)>> {
        if self.elements.is_empty() || other.elements.is_empty() {
            return None;
        }
        let seeds = other.elements.iter().map(|(place, _)| bounds.place(*place));
        let grid = squared(seeds, bounds.width, bounds.height);
        let away = |(place, length): &(Place, f64)| {
            let (x, y) = bounds.place(*place);
            ((grid[y * bounds.width + x] as f64).sqrt(), *length)
        };
        let mut distances: Vec<_> = self.elements.iter().map(away).collect();
        distances.sort_by(|a, b| a.0.total_cmp(&b.0));
        Some(distances)
    }
}

/// The least distance within which [`PART`] of the length lies.
fn percentile(distances: &[(f64, f64)]) -> f64 {
    let wanted = PART * distances.iter().map(|(_, length)| length).sum::<f64>();
    let mut seen = 0.0;
    let reached = distances.iter().find(|(_, length)| {
        seen += length;
        // Sums of the same lengths in another order differ in the last digits.
        seen >= wanted - 1e-9
    });
    reached.or(distances.last()).map_or(0.0, |(away, _)| *away)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::Rng;

    /// 1 in every rectangle (top, left, bottom, right).
    fn mask(width: usize, height: usize, parts: &[[usize; 4]]) -> Vec<u8> {
        let mut mask = vec![0; width * height];
        for &[top, left, bottom, right] in parts {
            for y in top..bottom {
                mask[y * width..][left..right].fill(1);
            }
        }
        mask
    }

    #[test]
    fn equal_masks_agree_and_empty_ones_have_no_contour() {
        let nerve = mask(9, 9, &[[2, 2, 5, 6]]);
        let same = agreement(&nerve, &nerve, 9, 0.0).unwrap();
        assert_eq!(same, Agreement { hd95: 0.0, surface_dice: 1.0 });
        let empty = vec![0; 81];
        assert_eq!(agreement(&nerve, &empty, 9, 1.0), None);
        assert_eq!(agreement(&empty, &nerve, 9, 1.0), None);
        assert_eq!(agreement(&empty, &empty, 9, 1.0), None);
        // The whole frame, and one pixel in its corner.
        let full = agreement(&[1; 81], &mask(9, 9, &[[0, 0, 1, 1]]), 9, 0.0).unwrap();
        assert!(full.hd95 > 8.0 && full.surface_dice > 0.0, "{full:?}");
        let apart = agreement(&nerve, &mask(9, 9, &[[8, 8, 9, 9]]), 9, 0.0).unwrap().surface_dice;
        assert_eq!(format!("{apart:.1}"), "0.0");
    }

    #[test]
    fn a_shift_is_its_distance() {
        let (a, b) = (mask(60, 40, &[[10, 10, 20, 30]]), mask(60, 40, &[[10, 13, 20, 33]]));
        let at = |tolerance| agreement(&a, &b, 60, tolerance).unwrap();
        assert_eq!((at(3.0).hd95, at(3.0).surface_dice), (3.0, 1.0));
        assert!(at(2.9).surface_dice < 1.0);
    }

    /// Figures of `surface-distance` 0.1 on the same masks.
    #[test]
    fn equals_the_published_program() {
        let a = mask(60, 40, &[[10, 10, 20, 30]]);
        let b = mask(60, 40, &[[12, 8, 25, 24], [0, 55, 3, 60]]);
        let dices = [(1.0, 0.091_964_395), (2.0, 0.450_843_394), (4.0, 0.588_789_987)];
        for (tolerance, dice) in dices {
            let got = agreement(&a, &b, 60, tolerance).unwrap();
            assert!((got.hd95 - 30.675_723_300).abs() < 1e-8, "{got:?}");
            assert!((got.surface_dice - dice).abs() < 1e-8, "{got:?}");
        }
    }

    #[test]
    fn brute_force_agrees_on_noise() {
        let mut rng = Rng::new(&[3]);
        for _ in 0..20 {
            let mut noise = || (0..23 * 17).map(|_| u8::from(rng.below(5) == 0)).collect::<Vec<u8>>();
            let (a, b) = (noise(), noise());
            let contours = [Contour::of(&a, 23), Contour::of(&b, 23)];
            let away = |from: &Contour, to: &Contour| -> Vec<(f64, f64)> {
                let nearest = |&((x, y), length): &(Place, f64)| {
                    let to = to
                        .elements
                        .iter()
                        .map(|((u, v), _)| ((x.abs_diff(*u).pow(2) + y.abs_diff(*v).pow(2)) as f64).sqrt());
                    (to.fold(f64::INFINITY, f64::min), length)
                };
                let mut all: Vec<_> = from.elements.iter().map(nearest).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0));
                all
            };
            let (there, back) = (away(&contours[0], &contours[1]), away(&contours[1], &contours[0]));
            let got = agreement(&a, &b, 23, 1.0).unwrap();
            assert_eq!(got.hd95, percentile(&there).max(percentile(&back)));
            let near = there.iter().chain(&back).filter(|(away, _)| *away <= 1.0);
            let near: f64 = near.map(|(_, length)| length).sum();
            let dice = near / (contours[0].length() + contours[1].length());
            assert!((got.surface_dice - dice).abs() < 1e-12);
        }
    }
}

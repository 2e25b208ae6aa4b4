//! Scaling: a larger or smaller part of the frame as the model's crop, and the mask back onto that part.

use nervelight_engines::{HEIGHT, Plane, WIDTH};

use crate::frame::{Picture, Region};
use crate::path::mask::Mask;
use crate::path::overlay::OverlayStyle;

/// Widest part that is scaled; a wider one is scaled as far as this.
pub const WIDEST: usize = 4096;
/// Weights are parts of this.
const ONE: u32 = 256;

/// How a part of the frame becomes the crop.
pub struct Scaling {
    /// Pixels of the frame for one of the crop.
    factor: f32,
    columns: Taps,
    rows: Taps,
}

/// For each pixel of the crop along one axis the frame's pixels that it is made of.
struct Taps {
    /// First pixel of each.
    first: Vec<usize>,
    /// Weights of each, `each` of them.
    weights: Vec<u32>,
    each: usize,
    /// The frame's pixels.
    size: usize,
}

impl Taps {
    /// The mean of what a pixel covers; between two pixels where it covers less than one.
    fn new(crop: usize, factor: f32) -> Self {
        let size = ((crop as f32 * factor).round() as usize).max(2);
        let each = factor.ceil() as usize + 1;
        let (mut first, mut weights) = (vec![], vec![]);
        for i in 0..crop {
            let (centre, half) = ((i as f32 + 0.5) * factor, factor.max(1.0) / 2.0);
            let (from, to) = (centre - half, centre + half);
            let start = (from.floor().max(0.0) as usize).min(size.saturating_sub(each));
            let cover = |n: usize| {
                let at = (start + n) as f32;
                (to.min(at + 1.0) - from.max(at)).max(0.0)
            };
            let parts: Vec<f32> = (0..each).map(cover).collect();
            let whole: f32 = parts.iter().sum::<f32>().max(f32::EPSILON);
            let mut these: Vec<u32> = parts.iter().map(|p| (p / whole * ONE as f32).round() as u32).collect();
            // Rounding must not change a grey.
            let sum: u32 = these.iter().sum();
            if let Some(largest) = these.iter_mut().max() {
                *largest = (*largest + ONE).saturating_sub(sum);
            }
            first.push(start);
            weights.extend(these);
        }
        Self { first, weights, each, size }
    }

    fn of(&self, i: usize) -> (usize, &[u32]) {
        (self.first[i], &self.weights[i * self.each..(i + 1) * self.each])
    }
}

impl Scaling {
    /// `factor` pixels of the frame become one of the crop.
    pub fn new(factor: f32) -> Self {
        let factor = factor.clamp(0.25, WIDEST as f32 / WIDTH as f32);
        Self { factor, columns: Taps::new(WIDTH, factor), rows: Taps::new(HEIGHT, factor) }
    }

    /// Pixels of the frame for one of the crop.
    pub fn factor(&self) -> f32 {
        self.factor
    }

    /// Width and height of the frame's part.
    pub fn size(&self) -> (usize, usize) {
        (self.columns.size, self.rows.size)
    }

    /// Fills `crop` from the part at `region`.
    pub fn copy(&self, luma: &[u8], stride: usize, region: Region, crop: &mut Plane) {
        let mut line = [0; WIDEST + 1];
        let line = &mut line[..self.columns.size];
        for (row, out) in crop.chunks_exact_mut(WIDTH).enumerate() {
            let (first, weights) = self.rows.of(row);
            line.fill(0);
            for (n, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
                let start = (region.y + first + n) * stride + region.x;
                let from = &luma[start..start + self.columns.size];
                line.iter_mut().zip(from).for_each(|(sum, v)| *sum += weight * u32::from(*v));
            }
            for (col, out) in out.iter_mut().enumerate() {
                let (first, weights) = self.columns.of(col);
                let sum: u32 =
                    line[first..first + weights.len()].iter().zip(weights).map(|(v, w)| v * w).sum();
                *out = ((sum + ONE * ONE / 2) / (ONE * ONE)) as u8;
            }
        }
    }

    /// Draws the nerve into the part at `region`, outlined by one of the frame's pixels.
    pub fn draw(&self, picture: &mut Picture<'_>, region: Region, mask: &Mask, style: &OverlayStyle) {
        let Some([left, top, right, bottom]) = bounds(&mask.inside) else { return };
        let to_frame = |at: usize| (at as f32 * self.factor) as usize;
        let columns = to_frame(left) & !1..(to_frame(right + 1) + 2).min(self.columns.size) & !1;
        let rows = to_frame(top) & !1..(to_frame(bottom + 1) + 2).min(self.rows.size) & !1;
        let in_crop = |at: usize, most: usize| (((at as f32 + 0.5) / self.factor) as usize).min(most - 1);
        let is_in = |x: usize, y: usize| mask.inside[in_crop(y, HEIGHT) * WIDTH + in_crop(x, WIDTH)] != 0;
        for y in rows.clone().step_by(2) {
            for x in columns.clone().step_by(2) {
                let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
                let n = four.into_iter().filter(|(x, y)| is_in(*x, *y)).count();
                if n > 0 {
                    let (u, v) = picture.chroma.at((region.x + x) / 2, (region.y + y) / 2);
                    style.tint(u, v, n);
                }
            }
        }
        if !style.outline {
            return;
        }
        for y in rows {
            for x in columns.clone() {
                // The crop's edge is no boundary of the nerve, which may go on beyond it.
                let is_edge = (x > 0 && !is_in(x - 1, y))
                    || (x + 1 < self.columns.size && !is_in(x + 1, y))
                    || (y > 0 && !is_in(x, y - 1))
                    || (y + 1 < self.rows.size && !is_in(x, y + 1));
                if is_edge && is_in(x, y) {
                    picture.luma[(region.y + y) * picture.luma_stride + region.x + x] = style.colour.y;
                }
            }
        }
    }
}

/// First and last column and row of the nerve.
fn bounds(inside: &Plane) -> Option<[usize; 4]> {
    let mut found: Option<[usize; 4]> = None;
    for (y, row) in inside.chunks_exact(WIDTH).enumerate() {
        if let (Some(first), Some(last)) =
            (row.iter().position(|p| *p != 0), row.iter().rposition(|p| *p != 0))
        {
            let [left, top, right, _] = found.unwrap_or([first, y, last, y]);
            found = Some([left.min(first), top, right.max(last), y]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use gst_video::VideoColorMatrix;
    use nervelight_engines::plane;

    use super::*;
    use crate::path::overlay::Colour;
    use crate::path::overlay::tests::drawn;

    #[test]
    fn a_grey_stays_itself_and_edges_stay_in_place() {
        for factor in [0.4, 0.5, 1.0, 1.37, 2.0, 3.1] {
            let scaling = Scaling::new(factor);
            let (width, height) = scaling.size();
            let edge = width / 2;
            for (dark, bright) in [(0, 255), (16, 235), (93, 93)] {
                let row: Vec<u8> = (0..width).map(|x| if x < edge { dark } else { bright }).collect();
                let mut crop = plane();
                scaling.copy(&row.repeat(height), width, Region { x: 0, y: 0 }, &mut crop);
                for line in crop.chunks_exact(WIDTH) {
                    assert!(line[..WIDTH / 2 - 3].iter().all(|v| *v == dark), "{factor}");
                    assert!(line[WIDTH / 2 + 3..].iter().all(|v| *v == bright), "{factor}");
                }
            }
        }
    }

    #[test]
    fn without_a_change_of_scale_the_crop_is_a_copy() {
        let luma: Vec<u8> = (0..640 * 420).map(|i| ((i * 7919) >> 3) as u8).collect();
        let mut crop = plane();
        Scaling::new(1.0).copy(&luma, 640, Region { x: 2, y: 4 }, &mut crop);
        for (row, col) in [(0, 0), (0, 575), (415, 0), (415, 575), (100, 200)] {
            assert_eq!(crop[row * WIDTH + col], luma[(row + 4) * 640 + col + 2], "{row},{col}");
        }
    }

    #[test]
    fn the_mask_lies_where_the_crop_was_taken() {
        let mut map = plane();
        (100..200).for_each(|row| map[row * WIDTH + 300..][..100].fill(255));
        let mut mask = Mask::default();
        mask.update(&map, 128, 1);
        let colour = Colour::new([255, 220, 0], VideoColorMatrix::Bt601, false);
        let style = OverlayStyle { colour, opacity: 0.5, outline: true };
        // Half a pixel for one: the part is 288x208.
        let scaling = Scaling::new(0.5);
        let region = Region { x: 100, y: 60 };
        let (before, _) = drawn(true, |_| {});
        let (luma, samples) = drawn(true, |picture| scaling.draw(picture, region, &mask, &style));
        let tinted: Vec<_> = (0..samples.len()).filter(|&i| samples[i] != (128, 128)).collect();
        assert!(tinted.iter().all(|i| (125..=150).contains(&(i % 290)) && (55..=80).contains(&(i / 290))));
        assert!((600..=676).contains(&tinted.len()), "{}", tinted.len());
        let outlined = (0..luma.len()).filter(|&i| luma[i] != before[i]).count();
        assert!((180..=196).contains(&outlined), "one pixel thin: {outlined}");
    }
}

//! Overlay: what is drawn into a frame.
//!
//! The tint changes chroma only, so that the echo texture the clinician reads stays as it was; luma
//! changes under the one-pixel outline and the badges of `badge.rs`, nowhere else.

use gst_video::VideoColorMatrix;
use nervelight_engines::{HEIGHT, Plane, WIDTH};

use crate::frame::{Chroma, Picture, Region};
use crate::path::mask::Mask;

/// A colour as Y'CbCr bytes in the video's own matrix and range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Luma.
    pub y: u8,
    /// Blue difference.
    pub u: u8,
    /// Red difference.
    pub v: u8,
}

impl Colour {
    /// Converts 8-bit R'G'B' by `matrix` (ITU-R BT.601 where the video does not say).
    pub fn new([r, g, b]: [u8; 3], matrix: VideoColorMatrix, limited: bool) -> Self {
        let (kr, kb) = match matrix {
            VideoColorMatrix::Bt709 => (0.2126, 0.0722),
            VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let [r, g, b] = [r, g, b].map(|c| f32::from(c) / 255.0);
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
        let (black, luma, chroma) = if limited { (16.0, 219.0, 224.0) } else { (0.0, 255.0, 255.0) };
        let byte = |x: f32| x.round().clamp(0.0, 255.0) as u8;
        Self { y: byte(black + luma * y), u: byte(128.0 + chroma * u), v: byte(128.0 + chroma * v) }
    }
}

/// How the nerve is drawn.
#[derive(Debug, Clone, Copy)]
pub struct OverlayStyle {
    /// Colour of tint and outline.
    pub colour: Colour,
    /// Weight of the colour in the tint's chroma, 0..1.
    pub opacity: f32,
    /// Whether to draw the outline.
    pub outline: bool,
}

impl OverlayStyle {
    /// Moves a sample of chroma towards the colour; `n` of its four pixels are nerve.
    #[inline]
    pub fn tint(&self, u: &mut u8, v: &mut u8, n: usize) {
        // 8-bit fixed point.
        let weight = (self.opacity * 64.0 * n as f32).round() as i32;
        let mix = |old: u8, new: u8| {
            let (old, new) = (i32::from(old), i32::from(new));
            (old + (((new - old) * weight + 128) >> 8)) as u8
        };
        (*u, *v) = (mix(*u, self.colour.u), mix(*v, self.colour.v));
    }
}

/// Draws the nerve of the region's crop into the picture.
pub fn draw(picture: &mut Picture<'_>, region: Region, mask: &Mask, style: &OverlayStyle) {
    if mask.area == 0 {
        return;
    }
    tint(&mut picture.chroma, region, &mask.inside, style);
    if style.outline {
        for &i in &mask.outline {
            let (x, y) = (region.x + i as usize % WIDTH, region.y + i as usize / WIDTH);
            picture.luma[y * picture.luma_stride + x] = style.colour.y;
        }
    }
}

/// Chroma moves towards the colour in proportion to how much of its 2x2 pixels is nerve.
fn tint(chroma: &mut Chroma<'_>, region: Region, inside: &Plane, style: &OverlayStyle) {
    for row in 0..HEIGHT / 2 {
        let rows = &inside[2 * row * WIDTH..2 * (row + 1) * WIDTH];
        let (upper, lower) = rows.split_at(WIDTH);
        for col in 0..WIDTH / 2 {
            let of = |row: &[u8]| row[2 * col] + row[2 * col + 1];
            let n = of(upper) + of(lower);
            if n > 0 {
                let (u, v) = chroma.at(region.x / 2 + col, region.y / 2 + row);
                style.tint(u, v, usize::from(n));
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use nervelight_engines::plane;

    pub const REGION: Region = Region { x: 2, y: 2 };
    pub const FRAME: (usize, usize) = (580, 420);

    fn style(opacity: f32, outline: bool) -> OverlayStyle {
        let colour = Colour::new([255, 220, 0], VideoColorMatrix::Bt601, false);
        OverlayStyle { colour, opacity, outline }
    }

    fn disc() -> Mask {
        let mut map = plane();
        for (i, p) in map.iter_mut().enumerate() {
            let (x, y) = ((i % WIDTH) as i64 - 300, (i / WIDTH) as i64 - 200);
            *p = if x * x + y * y < 50 * 50 { 255 } else { 0 };
        }
        let mut mask = Mask::default();
        mask.update(&map, 128, 1);
        mask
    }

    /// Draws into a gray I420 or NV12 picture; returns luma and the U and V of every chroma sample.
    pub fn drawn(planar: bool, draw: impl Fn(&mut Picture<'_>)) -> (Vec<u8>, Vec<(u8, u8)>) {
        let (width, height) = FRAME;
        let mut luma: Vec<u8> = (0..width * height).map(|i| i as u8).collect();
        let (mut a, mut b) = (vec![128; width * height / 2], vec![128; width * height / 4]);
        let chroma = if planar {
            Chroma::Planar { u: &mut a, v: &mut b, stride: width / 2 }
        } else {
            Chroma::Interleaved { uv: &mut a, stride: width }
        };
        let mut picture = Picture { width, height, luma: &mut luma, luma_stride: width, chroma };
        draw(&mut picture);
        let mut samples = vec![];
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let (u, v) = picture.chroma.at(x, y);
                samples.push((*u, *v));
            }
        }
        (luma, samples)
    }

    #[test]
    fn the_tint_leaves_luma_alone_and_the_outline_is_all_that_does_not() {
        let (before, _) = drawn(true, |_| {});
        let mask = disc();
        let (tinted, _) = drawn(true, |p| draw(p, REGION, &mask, &style(0.4, false)));
        assert_eq!(tinted, before);
        let (outlined, _) = drawn(true, |p| draw(p, REGION, &mask, &style(0.4, true)));
        let changed = outlined.iter().zip(&before).filter(|(a, b)| a != b).count();
        assert!(changed > 200 && changed <= mask.outline.len(), "{changed} of {}", mask.outline.len());
    }

    #[test]
    fn the_tint_covers_the_nerve_and_nothing_else_in_both_formats() {
        let mask = disc();
        let (_, samples) = drawn(true, |p| draw(p, REGION, &mask, &style(0.5, true)));
        let (_, interleaved) = drawn(false, |p| draw(p, REGION, &mask, &style(0.5, true)));
        assert_eq!(samples, interleaved);
        let at = |x: usize, y: usize| samples[(y + REGION.y) / 2 * (FRAME.0 / 2) + (x + REGION.x) / 2];
        let colour = style(0.5, true).colour;
        let half = |c: u8| (i32::from(c) + 128) / 2;
        let (u, v) = at(300, 200);
        assert!((i32::from(u) - half(colour.u)).abs() <= 1 && (i32::from(v) - half(colour.v)).abs() <= 1);
        assert_eq!(at(300, 300), (128, 128), "outside");
        let area = 4 * samples.iter().filter(|&&s| s != (128, 128)).count();
        assert!(area.abs_diff(mask.area) < 4 * mask.outline.len(), "{area} for {}", mask.area);
    }

    #[test]
    fn opacity_bounds() {
        let mask = disc();
        let (_, none) = drawn(true, |p| draw(p, REGION, &mask, &style(0.0, false)));
        assert!(none.iter().all(|&s| s == (128, 128)));
        let (_, full) = drawn(true, |p| draw(p, REGION, &mask, &style(1.0, false)));
        let colour = style(1.0, false).colour;
        assert!(full.contains(&(colour.u, colour.v)));
    }

    #[test]
    fn colours_follow_matrix_and_range() {
        let white = Colour::new([255; 3], VideoColorMatrix::Bt601, true);
        assert_eq!(white, Colour { y: 235, u: 128, v: 128 });
        let red = Colour::new([255, 0, 0], VideoColorMatrix::Bt709, true);
        assert_eq!(red, Colour { y: 63, u: 102, v: 240 }, "BT.709 red");
        assert_eq!(Colour::new([0; 3], VideoColorMatrix::Bt601, false), Colour { y: 0, u: 128, v: 128 });
    }
}

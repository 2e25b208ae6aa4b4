//! Badges: short notices in a corner of the crop.

use font8x8::UnicodeFonts;

use crate::frame::Picture;
use crate::path::overlay::Colour;

/// A short notice in a corner of the region, drawn once into a bitmap.
pub struct Badge {
    /// Pixels in a row, even.
    pub width: usize,
    height: usize,
    /// 1 where the text is, 0 on its ground.
    text: Vec<u8>,
    ink: Colour,
    ground: Colour,
}

impl Badge {
    /// Pixels of the picture for one pixel of the 8x8 font: a notice that asks for something, and a calm one.
    const SCALE: (usize, usize) = (3, 2);
    /// Ground around the text, in font pixels.
    const MARGIN: usize = 3;
    /// Distance from the region's corner in pixels.
    pub const OFFSET: usize = 8;

    /// A badge that says `text` in `ink` on `ground`.
    pub fn new(text: &str, ink: Colour, ground: Colour) -> Self {
        Self::scaled(Self::SCALE.0, text, ink, ground)
    }

    /// A smaller one, for what asks for nothing.
    pub fn calm(text: &str, ink: Colour, ground: Colour) -> Self {
        Self::scaled(Self::SCALE.1, text, ink, ground)
    }

    fn scaled(scale: usize, text: &str, ink: Colour, ground: Colour) -> Self {
        let scaled = |font_pixels: usize| (font_pixels + 2 * Self::MARGIN) * scale;
        let (width, height) = (scaled(8 * text.chars().count()), scaled(8));
        let mut bitmap = vec![0; width * height];
        let glyphs = text.chars().map(|c| font8x8::BASIC_FONTS.get(c).unwrap_or_default());
        for (i, glyph) in glyphs.enumerate() {
            for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                if (glyph[y] >> x) & 1 == 0 {
                    continue;
                }
                let (left, top) = ((Self::MARGIN + 8 * i + x) * scale, (Self::MARGIN + y) * scale);
                for row in top..top + scale {
                    bitmap[row * width + left..][..scale].fill(1);
                }
            }
        }
        Self { width, height, text: bitmap, ink, ground }
    }

    /// Draws the badge beside the point `x`, `y` (both even), as much of it as the picture has room for.
    pub fn draw(&self, picture: &mut Picture<'_>, x: usize, y: usize) {
        let (left, top) = (x + Self::OFFSET, y + Self::OFFSET);
        let width = self.width.min(picture.width.saturating_sub(left));
        let height = self.height.min(picture.height.saturating_sub(top));
        for (row, bits) in self.text.chunks_exact(self.width).take(height).enumerate() {
            let start = (top + row) * picture.luma_stride + left;
            for (luma, &bit) in picture.luma[start..start + width].iter_mut().zip(bits) {
                *luma = if bit == 1 { self.ink.y } else { self.ground.y };
            }
        }
        // Chroma is at half resolution and the corner on even coordinates.
        for row in 0..height / 2 {
            for col in 0..width / 2 {
                let (u, v) = picture.chroma.at(left / 2 + col, top / 2 + row);
                (*u, *v) = (self.ground.u, self.ground.v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gst_video::VideoColorMatrix;

    use super::*;
    use crate::path::overlay::tests::{FRAME, REGION, drawn};

    #[test]
    fn a_badge_stays_in_its_corner_and_is_legible() {
        let (ink, ground) = (
            Colour::new([255; 3], VideoColorMatrix::Bt601, false),
            Colour::new([200, 0, 0], VideoColorMatrix::Bt601, false),
        );
        let badge = Badge::new("AI OFF", ink, ground);
        let (before, _) = drawn(true, |_| {});
        let (luma, samples) = drawn(true, |p| badge.draw(p, REGION.x, REGION.y));
        let inked = luma.iter().filter(|&&l| l == ink.y).count();
        assert!(inked > 1000, "{inked} pixels of text");
        for (i, (a, b)) in luma.iter().zip(&before).enumerate() {
            assert!(a == b || (i % FRAME.0 < 200 && i / FRAME.0 < 60), "changed at {i}");
        }
        assert!(samples.contains(&(ground.u, ground.v)));
    }

    #[test]
    fn a_picture_smaller_than_the_badge_gets_a_part_of_it() {
        let colour = Colour::new([255; 3], VideoColorMatrix::Bt601, false);
        let badge = Badge::new("A NOTICE THAT IS WIDER THAN THE PICTURE", colour, colour);
        let (luma, _) = drawn(true, |p| badge.draw(p, FRAME.0 - 40, FRAME.1 - 20));
        assert!(luma.contains(&255));
        drawn(false, |p| badge.draw(p, FRAME.0 + 10, FRAME.1 + 10));
    }
}

//! Crop: a strided copy of the region's luma, expanded to the full range the model was trained on.

use nervelight_engines::{HEIGHT, Plane, WIDTH};

use crate::frame::{Picture, Region, Sector, full_range};
use crate::path::mask::Mask;
use crate::path::overlay::{self, OverlayStyle};
use crate::path::scaling::Scaling;

/// Copies crops and draws masks where they were taken, expanding limited range when the source has it.
pub struct Cropper {
    region: Region,
    /// None where a pixel of the frame is one of the crop.
    scaling: Option<Scaling>,
    /// Full-range value of each limited-range one; none when the source is full range already.
    expand: Option<Box<[u8; 256]>>,
}

impl Cropper {
    /// For frames whose luma is limited range (16..235, ITU-R BT.601 2.5.1) or full range.
    pub fn new(region: Region, limited: bool) -> Self {
        let expand = limited.then(|| Box::new(std::array::from_fn(|luma| full_range(luma as u8))));
        Self { region, scaling: None, expand }
    }

    /// Takes the crop in another place and scale from now on.
    pub fn move_to(&mut self, region: Region, scaling: Option<Scaling>) {
        (self.region, self.scaling) = (region, scaling);
    }

    /// Pixels of the frame for one of the crop.
    pub fn scale(&self) -> f32 {
        self.scaling.as_ref().map_or(1.0, Scaling::factor)
    }

    /// The frame's pixels that it is made of.
    pub fn area(&self) -> Sector {
        let (width, height) = self.scaling.as_ref().map_or((WIDTH, HEIGHT), Scaling::size);
        let Region { x, y } = self.region;
        Sector { x, y, width, height }
    }

    /// Draws the crop's nerve into the frame.
    pub fn draw(&self, picture: &mut Picture<'_>, mask: &Mask, style: &OverlayStyle) {
        match &self.scaling {
            Some(scaling) => scaling.draw(picture, self.region, mask, style),
            None => overlay::draw(picture, self.region, mask, style),
        }
    }

    /// Its place in the frame.
    pub fn region(&self) -> Region {
        self.region
    }

    /// Fills `crop` from `luma`, rows of `stride` bytes that hold the whole region.
    pub fn copy(&self, luma: &[u8], stride: usize, crop: &mut Plane) {
        let Region { x, y } = self.region;
        if let Some(scaling) = &self.scaling {
            scaling.copy(luma, stride, self.region, crop);
        } else {
            for (row, out) in crop.chunks_exact_mut(WIDTH).enumerate() {
                let start = (y + row) * stride + x;
                out.copy_from_slice(&luma[start..start + WIDTH]);
            }
        }
        if let Some(expand) = &self.expand {
            crop.iter_mut().for_each(|p| *p = expand[usize::from(*p)]);
        }
        debug_assert_eq!(crop.len(), WIDTH * HEIGHT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nervelight_engines::plane;

    #[test]
    fn rows_are_taken_at_their_stride() {
        let (stride, height) = (640, 420);
        let luma: Vec<u8> = (0..stride * height).map(|i| (i / stride * 7 + i % stride) as u8).collect();
        let mut crop = plane();
        Cropper::new(Region { x: 2, y: 4 }, false).copy(&luma, stride, &mut crop);
        for (row, col) in [(0, 0), (0, 575), (415, 0), (415, 575), (100, 200)] {
            assert_eq!(crop[row * WIDTH + col], luma[(row + 4) * stride + col + 2], "{row},{col}");
        }
    }

    #[test]
    fn limited_range_is_expanded_and_full_range_is_not() {
        let mut luma = vec![0; WIDTH * HEIGHT];
        luma[..6].copy_from_slice(&[0, 16, 126, 235, 255, 17]);
        let mut crop = plane();
        Cropper::new(Region { x: 0, y: 0 }, true).copy(&luma, WIDTH, &mut crop);
        assert_eq!(crop[..6], [0, 0, 128, 255, 255, 1]);
        Cropper::new(Region { x: 0, y: 0 }, false).copy(&luma, WIDTH, &mut crop);
        assert_eq!(crop[..6], luma[..6]);
    }
}

//! A crop coloured by what was found, in the published project's colours.

use image::{Rgb, RgbImage};

/// Found: purple.
const TRUE_POSITIVE: [u32; 3] = [255, 5, 255];
/// Missed: yellow.
const FALSE_NEGATIVE: [u32; 3] = [255, 215, 5];
/// Shown where there is none: green.
const FALSE_POSITIVE: [u32; 3] = [5, 255, 88];

/// `luma` where truth and overlay agree on no nerve, elsewhere a colour as bright as `luma`.
/// All slices hold `width * height` pixels; `nerve` and `shown` are 0 or 1.
pub fn overlay(luma: &[u8], nerve: &[u8], shown: &[u8], width: usize) -> RgbImage {
    let height = luma.len() / width;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        let colour = match (nerve[at], shown[at]) {
            (0, 0) => return Rgb([luma[at]; 3]),
            (0, _) => FALSE_POSITIVE,
            (_, 0) => FALSE_NEGATIVE,
            _ => TRUE_POSITIVE,
        };
        // Fascicles are nearly black; without a little light their colour would not show.
        let value = 48 + u32::from(luma[at]) * 207 / 255;
        Rgb(colour.map(|c| (c * value / 255) as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_say_right_missed_and_invented() {
        let picture = overlay(&[255; 4], &[0, 1, 1, 0], &[0, 1, 0, 1], 2);
        assert_eq!(picture.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(picture.get_pixel(1, 0).0, [255, 5, 255]);
        assert_eq!(picture.get_pixel(0, 1).0, [255, 215, 5]);
        assert_eq!(picture.get_pixel(1, 1).0, [5, 255, 88]);
    }
}

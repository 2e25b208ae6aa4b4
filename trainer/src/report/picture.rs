//! Frames as pictures within the page.

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

use crate::evaluate::Case;
use crate::metrics::shown;
use crate::util::overlay;

/// A case's overlay at half its size, as a data URI of PNG.
pub fn case(case: &Case, width: usize) -> Result<String> {
    let frame = case.prediction.frame;
    let shown = shown(&case.prediction.map, width, case.point);
    let half = half(&overlay(&frame.luma, &frame.nerve, &shown, width));
    let mut file = vec![];
    PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive).write_image(
        &half,
        half.width(),
        half.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(file)))
}

/// Means of blocks of two by two.
fn half(picture: &RgbImage) -> RgbImage {
    RgbImage::from_fn(picture.width() / 2, picture.height() / 2, |x, y| {
        let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| picture.get_pixel(2 * x + i, 2 * y + j).0);
        Rgb(std::array::from_fn(|c| (four.iter().map(|pixel| u16::from(pixel[c])).sum::<u16>() / 4) as u8))
    })
}

//! Pictures for pages: PNG, also as data URIs, and masks as SVG paths.

use std::fmt::Write;

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::data::{FRAME_HEIGHT, FRAME_WIDTH, RunLengths};

/// Size of a picture on the page: half that of a frame.
const SIZE: (usize, usize) = (FRAME_WIDTH / 2, FRAME_HEIGHT / 2);
/// From never to most often: dark blue, purple, red, yellow, white.
const RAMP: [[f32; 3]; 5] =
    [[10., 10., 40.], [95., 20., 120.], [215., 60., 70.], [250., 180., 40.], [255., 255., 220.]];

/// A frame at half its size.
pub fn grey(luma: &[u8]) -> Result<String> {
    let value = |x, y| luma[y * FRAME_WIDTH + x];
    let mean = |x, y| {
        let four = [value(x, y), value(x + 1, y), value(x, y + 1), value(x + 1, y + 1)];
        (four.iter().map(|&v| u16::from(v)).sum::<u16>() / 4) as u8
    };
    let pixels = half().map(|(x, y)| mean(x, y)).collect::<Vec<_>>();
    uri(&pixels, ExtendedColorType::L8)
}

/// A frame at its own size, as PNG.
pub fn whole(luma: &[u8]) -> Result<Vec<u8>> {
    // Read from this machine: speed counts, not size.
    png(luma, (FRAME_WIDTH, FRAME_HEIGHT), ExtendedColorType::L8, CompressionType::Fast)
}

/// Shares of a frame's size, 0..1, in colour, at half the size.
pub fn heat(shares: &[f32]) -> Result<String> {
    let pixels: Vec<u8> = half().flat_map(|(x, y)| colour(shares[y * FRAME_WIDTH + x])).collect();
    uri(&pixels, ExtendedColorType::Rgb8)
}

/// The colour of a share as in [`heat`], red, green, blue.
pub fn colour(share: f32) -> [u8; 3] {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f32;
    let step = (place as usize).min(RAMP.len() - 2);
    let part = place - step as f32;
    std::array::from_fn(|i| (RAMP[step][i] * (1.0 - part) + RAMP[step + 1][i] * part) as u8)
}

/// Upper left corners of blocks of two by two.
fn half() -> impl Iterator<Item = (usize, usize)> {
    (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (2 * x, 2 * y)))
}

fn uri(pixels: &[u8], kind: ExtendedColorType) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png(pixels, SIZE, kind, CompressionType::Best)?)))
}

fn png(
    pixels: &[u8],
    (width, height): (usize, usize),
    kind: ExtendedColorType,
    compression: CompressionType,
) -> Result<Vec<u8>> {
    let mut file = vec![];
    PngEncoder::new_with_quality(&mut file, compression, FilterType::Adaptive).write_image(
        pixels,
        width as u32,
        height as u32,
        kind,
    )?;
    Ok(file)
}

/// Whether each pixel of a frame is at least `least`.
pub fn inside(mask: &RunLengths, least: u8) -> Vec<bool> {
    let mut inside = vec![false; FRAME_WIDTH * FRAME_HEIGHT];
    for (_, range) in mask.iter().filter(|(value, _)| *value >= least) {
        inside[range].fill(true);
    }
    inside
}

/// A region of a frame as an SVG path to fill.
pub fn region(inside: &[bool]) -> String {
    let mut path = String::new();
    for (y, row) in inside.chunks_exact(FRAME_WIDTH).enumerate() {
        spans(FRAME_WIDTH, |x| row[x], |from, length| _ = write!(path, "M{from} {y}h{length}v1h-{length}z"));
    }
    path
}

/// Edges of a region of a frame, as an SVG path in the frame's pixels.
pub fn outline(inside: &[bool]) -> String {
    let at = |x: usize, y: usize| x < FRAME_WIDTH && y < FRAME_HEIGHT && inside[y * FRAME_WIDTH + x];
    let mut path = String::new();
    for y in 0..=FRAME_HEIGHT {
        let edge = |x| at(x, y) != (y > 0 && at(x, y - 1));
        spans(FRAME_WIDTH, edge, |from, length| _ = write!(path, "M{from} {y}h{length}"));
    }
    for x in 0..=FRAME_WIDTH {
        let edge = |y| at(x, y) != (x > 0 && at(x - 1, y));
        spans(FRAME_HEIGHT, edge, |from, length| _ = write!(path, "M{x} {from}v{length}"));
    }
    path
}

/// Calls `found` with begin and length of every run where `edge` holds.
fn spans(end: usize, edge: impl Fn(usize) -> bool, mut found: impl FnMut(usize, usize)) {
    let mut from = None;
    for i in 0..=end {
        match (i < end && edge(i), from) {
            (true, None) => from = Some(i),
            (false, Some(begun)) => {
                found(begun, i - begun);
                from = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_has_four_edges() {
        let mut mask = vec![0; FRAME_WIDTH * FRAME_HEIGHT];
        for y in 10..12 {
            mask[y * FRAME_WIDTH + 20..][..30].fill(255);
        }
        let within = inside(&RunLengths::of(&mask), 128);
        assert_eq!(outline(&within), "M20 10h30M20 12h30M20 10v2M50 10v2");
        assert_eq!(region(&within), "M20 10h30v1h-30zM20 11h30v1h-30z");
        let full = outline(&[true; FRAME_WIDTH * FRAME_HEIGHT]);
        assert_eq!(full, "M0 0h580M0 420h580M0 0v420M580 0v420");
    }

    #[test]
    fn colours_run_from_dark_to_bright() {
        let [never, half, most] = [0.0, 0.5, 1.0].map(colour);
        assert_eq!((never, half, most), ([10, 10, 40], [215, 60, 70], [255, 255, 220]));
    }
}

//! Masks of drafts: pixels, runs, digests.

use nervelight_engines::components::Components;
use nervelight_engines::{HEIGHT, WIDTH};

use crate::data::{FRAME_HEIGHT, FRAME_WIDTH};
use crate::util::sha256;

/// Columns left of the crop in a frame, and rows above it.
const BORDER: usize = 2;

/// A frame's mask: 0 or 255 for each of 580x420 pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftMask {
    /// Row by row.
    pub pixels: Vec<u8>,
    /// SHA-256 of them, in hex.
    pub digest: String,
}

impl DraftMask {
    /// Of a frame's pixels.
    pub fn of(pixels: Vec<u8>) -> Self {
        let digest = sha256(&pixels);
        Self { pixels, digest }
    }

    /// What a cart would show of a map of 576x416 pixels: cut at `threshold`, without areas of less than `min_area` pixels.
    pub fn of_map(map: &[u8], threshold: u8, min_area: u32) -> Self {
        let mut components = Components::with_room_for(map.len());
        components.find(map, WIDTH, threshold);
        let mut pixels = vec![0; FRAME_WIDTH * FRAME_HEIGHT];
        for (run, _, area) in components.runs() {
            if area >= min_area as usize {
                let row = (run.row + BORDER) * FRAME_WIDTH + BORDER;
                pixels[row + run.start..row + run.end].fill(255);
            }
        }
        Self::of(pixels)
    }

    /// Of runs of nerve, each its first pixel and its length, in order. None when they are not that, or leave the part of
    /// the frame that the network sees.
    pub fn of_runs(runs: &[u32]) -> Option<Self> {
        let mut pixels = vec![0; FRAME_WIDTH * FRAME_HEIGHT];
        let mut end = 0;
        if !runs.len().is_multiple_of(2) {
            return None;
        }
        for run in runs.chunks_exact(2) {
            let (start, length) = (run[0] as usize, run[1] as usize);
            let (row, column) = (start / FRAME_WIDTH, start % FRAME_WIDTH);
            let is_inside = (BORDER..BORDER + HEIGHT).contains(&row)
                && column >= BORDER
                && column.checked_add(length)? <= BORDER + WIDTH;
            if start < end || length == 0 || !is_inside {
                return None;
            }
            end = start + length;
            pixels[start..end].fill(255);
        }
        Some(Self::of(pixels))
    }

    /// Runs of nerve within rows, each its first pixel and its length.
    pub fn runs(&self) -> Vec<u32> {
        let mut runs = vec![];
        for (y, row) in self.pixels.chunks_exact(FRAME_WIDTH).enumerate() {
            let mut x = 0;
            while let Some(skip) = row[x..].iter().position(|pixel| *pixel > 0) {
                let start = x + skip;
                let length = row[start..].iter().position(|pixel| *pixel == 0).unwrap_or(FRAME_WIDTH - start);
                runs.extend([(y * FRAME_WIDTH + start) as u32, length as u32]);
                x = start + length;
            }
        }
        runs
    }

    /// Nerve in pixels.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|pixel| **pixel > 0).count()
    }
}

/// A frame of 580x420 pixels around a crop of 576x416. Its border, which the network never sees, repeats the crop's edge.
pub fn frame_of_crop(crop: &[u8]) -> Vec<u8> {
    let within = |at: usize, size: usize| at.saturating_sub(BORDER).min(size - 1);
    let rows = (0..FRAME_HEIGHT).map(|y| &crop[within(y, HEIGHT) * WIDTH..][..WIDTH]);
    rows.flat_map(|row| (0..FRAME_WIDTH).map(|x| row[within(x, WIDTH)])).collect()
}

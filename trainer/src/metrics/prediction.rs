//! A trained network's maps of many frames.

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::soft::Sums;
use crate::data::{Batch, Frame, batch};
use crate::net::Module;
use crate::util::Progress;

/// The map of one frame.
#[derive(Debug)]
pub struct Prediction<'a> {
    pub frame: &'a Frame,
    /// Probability x 255, rounded, row by row: what an engine gives.
    pub map: Vec<u8>,
    /// Soft sums over its pixels, from the unrounded probability.
    pub sums: Sums,
}

/// Predicts every frame.
pub fn predict<'a>(
    module: &Module,
    frames: &[&'a Frame],
    size: (usize, usize),
    batch_size: usize,
) -> Result<Vec<Prediction<'a>>> {
    let mut predictions = Vec::with_capacity(frames.len());
    let mut progress = Progress::new("predict", 0, frames.len());
    for frames in frames.chunks(batch_size) {
        let Batch { crops, truth } = batch(frames, size, None, module.device());
        let probability = module.predict(&crops);
        for (i, frame) in frames.iter().enumerate() {
            let (truth, probability) = (truth.get(i as i64), probability.get(i as i64));
            predictions.push(Prediction {
                frame,
                map: bytes(&probability)?,
                sums: Sums::of(&truth, &probability),
            });
        }
        progress.advance(frames.len());
    }
    progress.finish();
    Ok(predictions)
}

/// Probability to bytes, halves to even.
fn bytes(probability: &Tensor) -> Result<Vec<u8>> {
    let rounded = (probability * 255.0).round().to_kind(Kind::Uint8).to_device(Device::Cpu).flatten(0, -1);
    Vec::try_from(rounded).context("a map cannot be copied")
}

//! Frames side by side as tensors.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::augment::augment;
use super::dataset::Frame;
use crate::rng::Rng;

/// Tensors `[N, 1, H, W]` on one device.
#[derive(Debug)]
pub struct Batch {
    /// uint8, 0..255
    pub crops: Tensor,
    /// float, 0 or 1
    pub truth: Tensor,
}

/// Stacks `frames` of `height` x `width` pixels. `vary` gives a generator for each frame that
/// is to be augmented.
pub fn batch(
    frames: &[&Frame],
    (height, width): (usize, usize),
    vary: Option<&(dyn Fn(&Frame) -> Rng + Sync)>,
    device: Device,
) -> Batch {
    let pixels: Vec<(Vec<u8>, Vec<u8>)> = frames
        .par_iter()
        .map(|frame| match vary {
            Some(vary) => augment(frame, height, width, vary(frame)),
            None => (frame.luma.to_vec(), frame.nerve.to_vec()),
        })
        .collect();
    let (luma, nerve): (Vec<_>, Vec<_>) = pixels.into_iter().unzip();
    let shape = [frames.len() as i64, 1, height as i64, width as i64];
    let stack =
        |bytes: Vec<Vec<u8>>| Tensor::from_data_size(&bytes.concat(), &shape, Kind::Uint8).to_device(device);
    Batch { crops: stack(luma), truth: stack(nerve).to_kind(Kind::Float) }
}

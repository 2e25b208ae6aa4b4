//! Several frames as one batch of tensors.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::augment::{Augment, augment};
use super::frame::Frame;
use crate::util::Rng;

/// Tensors `[N, 1, H, W]` on one device.
#[derive(Debug)]
pub struct Batch {
    /// uint8, 0..255
    pub crops: Tensor,
    /// float, 0 or 1
    pub truth: Tensor,
}

/// How frames vary in one epoch.
#[derive(Debug, Clone, Copy)]
pub struct Augmentation {
    /// How much.
    pub level: Augment,
    /// Of the run.
    pub seed: u64,
    /// From 0.
    pub epoch: usize,
}

impl Augmentation {
    /// The generator of one frame's changes: a frame shown twice in an epoch looks the same twice.
    fn rng(self, frame: &Frame) -> Rng {
        let name = frame.name.bytes().fold(0u64, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
        Rng::new(&[self.seed, 0xa06, self.epoch as u64, name])
    }
}

/// Stacks `frames` of `height` x `width` pixels, varied where `vary` says so.
pub fn batch(
    frames: &[&Frame],
    (height, width): (usize, usize),
    vary: Option<Augmentation>,
    device: Device,
) -> Batch {
    let pixels: Vec<(Vec<u8>, Vec<u8>)> = frames
        .par_iter()
        .map(|frame| match vary {
            Some(vary) => augment(frame, (height, width), vary.level, vary.rng(frame)),
            None => (frame.luma.to_vec(), frame.nerve.to_vec()),
        })
        .collect();
    let (luma, nerve): (Vec<_>, Vec<_>) = pixels.into_iter().unzip();
    let shape = [frames.len() as i64, 1, height as i64, width as i64];
    let stack =
        |bytes: Vec<Vec<u8>>| Tensor::from_data_size(&bytes.concat(), &shape, Kind::Uint8).to_device(device);
    Batch { crops: stack(luma), truth: stack(nerve).to_kind(Kind::Float) }
}

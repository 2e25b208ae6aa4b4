//! Data with planted faults, for tests.

use std::path::Path;

use tiff::encoder::{TiffEncoder, colortype::Gray8};

use crate::data::{FRAME_HEIGHT, FRAME_WIDTH};
use crate::util::Rng;

/// Pixels of a frame.
pub const PIXELS: usize = FRAME_WIDTH * FRAME_HEIGHT;

pub fn write(path: &Path, pixels: &[u8]) {
    let file = std::fs::File::create(path).unwrap();
    let (width, height) = (FRAME_WIDTH as u32, FRAME_HEIGHT as u32);
    TiffEncoder::new(file).unwrap().write_image::<Gray8>(width, height, pixels).unwrap();
}

pub fn add(folder: &Path, name: &str, luma: &[u8], mask: &[u8]) {
    write(&folder.join(format!("{name}.tif")), luma);
    write(&folder.join(format!("{name}_mask.tif")), mask);
}

/// A frame of its own: smooth bands of random brightness under noise, 100..228.
pub fn frame(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(&[seed, 77]);
    let bands: Vec<usize> = (0..FRAME_HEIGHT / 20 + 1).map(|_| rng.below(64)).collect();
    (0..PIXELS).map(|i| (100 + bands[i / FRAME_WIDTH / 20] + rng.below(64)) as u8).collect()
}

/// `count` pixels one level brighter, from pixel `from` on.
pub fn brighter(luma: &[u8], from: usize, count: usize) -> Vec<u8> {
    let mut luma = luma.to_vec();
    luma[from..from + count].iter_mut().for_each(|pixel| *pixel += 1);
    luma
}

/// A nerve of 100 by `rows` pixels.
pub fn nerve(rows: usize) -> Vec<u8> {
    let mut mask = vec![0; PIXELS];
    for y in 200..200 + rows {
        mask[y * FRAME_WIDTH + 200..][..100].fill(255);
    }
    mask
}

/// Twelve frames of their own and the planted ones.
pub fn plant(folder: &Path) {
    for patient in 1..=3 {
        for n in 1..=4 {
            add(folder, &format!("{patient}_{n}"), &frame(patient * 10 + n), &nerve(30));
        }
    }
    add(folder, "1_5", &frame(11), &nerve(30));
    add(folder, "2_2", &brighter(&frame(12), 5, 40), &nerve(30));
    add(folder, "2_9", &frame(21), &nerve(31));
    add(folder, "3_3", &brighter(&frame(13), 100_000, 999), &nerve(0));
    add(folder, "3_7", &brighter(&frame(31), 0, 600), &nerve(30));
    add(folder, "3_8", &brighter(&frame(31), 0, 1200), &nerve(30));
}

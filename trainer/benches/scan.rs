//! Seconds to compare every pair of 5,635 frames: `cargo bench -p nervelight-train --bench scan`.
//!
//! Frames are phantom stills, shifted, brightened and with new noise, so that they are made
//! quickly and no two are equal but those planted.

use std::time::Instant;

use nervelight_phantom::{HEIGHT, Phantom, WIDTH, WrongSize};
use nervelight_train::bench::{Sad, Stack, all, below_by};
use rayon::prelude::*;

/// As many as the original data set has.
const FRAMES: usize = 5_635;
const STILLS: usize = 200;
/// Frames to compare the ways to sum on.
const SAMPLE: usize = 768;
/// Every so many frames one is a copy of the frame before it, with this many pixels changed by one.
const PLANTED: usize = 50;
const CHANGED: usize = 40;

fn main() -> Result<(), WrongSize> {
    let begun = Instant::now();
    let stills: Vec<Vec<u8>> = (0..STILLS as u64).into_par_iter().map(still).collect::<Result<_, _>>()?;
    let (stack, _) = Stack::fill(FRAMES, WIDTH * HEIGHT, |i, frame| vary(&stills, i, frame));
    let frames: Vec<&[u8]> = (0..FRAMES).map(|i| stack.frame(i)).collect();
    let sad = Sad::detect();
    let cores = rayon::current_num_threads();
    println!("{FRAMES} frames made in {:.1} s; {}, {cores} cores", seconds(begun), sad.name());

    // Every way to sum, on a few of the frames.
    for sad in Sad::all() {
        let begun = Instant::now();
        let scanned = all(sad, &frames[..SAMPLE], 0, &|_| ());
        let pairs = scanned.histogram.iter().sum::<u64>();
        println!("{:>9}: {:>4.0} GB/s", sad.name(), gigabytes(pairs) / seconds(begun));
    }
    for limit in [1_000, 100_000, 1_000_000] {
        let begun = Instant::now();
        let found = below_by(sad, &frames, WIDTH, limit, &|_| ());
        println!("pairs under {limit:>9}: {:>6.2} s, {} found", seconds(begun), found.len());
    }
    let begun = Instant::now();
    let scanned = all(sad, &frames, 1_000, &|_| ());
    let taken = seconds(begun);
    let (count, found) = (scanned.histogram.iter().sum::<u64>(), scanned.below.len());
    let rate = gigabytes(count) / taken;
    println!("histogram of {count} pairs: {taken:.1} s ({rate:.0} GB/s), {found} found under 1000");
    if let Some(peak) = peak_memory() {
        println!("peak memory: {peak}");
    }
    Ok(())
}

/// Bytes of one side of so many pairs.
fn gigabytes(pairs: u64) -> f64 {
    pairs as f64 * (WIDTH * HEIGHT) as f64 / 1e9
}

fn seconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64()
}

fn still(n: u64) -> Result<Vec<u8>, WrongSize> {
    let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
    Phantom::new(n % 40).still(n, &mut luma, &mut mask)?;
    Ok(luma)
}

/// Frame `i`: a still moved by some pixels and brightened, with noise of three grey levels.
fn vary(stills: &[Vec<u8>], i: usize, frame: &mut [u8]) {
    let planted = i % PLANTED == PLANTED - 1;
    let source = if planted { i - 1 } else { i };
    let (still, shift) = (&stills[source % STILLS], source / STILLS);
    let offset = shift * 3 + shift % 5 * WIDTH;
    let mut noise = source as u32 + 1;
    for (at, pixel) in frame.iter_mut().enumerate() {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let moved = still[(at + offset) % still.len()];
        *pixel = moved.saturating_add((noise >> 30) as u8).saturating_add(shift as u8 / 4);
    }
    if planted {
        for pixel in frame.iter_mut().take(CHANGED * 100).step_by(100) {
            *pixel ^= 1;
        }
    }
}

/// Linux only.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().to_owned())
}

//! Pairs of nearly equal frames, found by comparing every pair.

mod bounds;
mod pairs;
mod sad;

pub use pairs::{BUCKET, Pair, all, below as below_by};
pub use sad::Sad;

/// Pairs of `frames` (rows of `width` pixels) whose sum of absolute differences is below `limit`.
pub fn below(frames: &[&[u8]], width: usize, limit: u32) -> Vec<Pair> {
    below_by(Sad::detect(), frames, width, limit, &|_| ())
}

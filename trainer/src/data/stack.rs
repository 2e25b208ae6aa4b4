//! Frames of one size in one block of memory.

use rayon::prelude::*;

/// A cache line, and the widest register.
const LINE: usize = 64;

/// Equally long frames, each beginning on a cache line: an unaligned load of a full register
/// touches two lines.
#[derive(Debug)]
pub struct Stack {
    bytes: Vec<u8>,
    first: usize,
    stride: usize,
    length: usize,
}

impl Stack {
    /// `count` frames of `length` bytes; `fill` writes frame `i` and what it returns comes back, in
    /// order. All cores fill.
    pub fn fill<T: Send>(
        count: usize,
        length: usize,
        fill: impl Fn(usize, &mut [u8]) -> T + Sync,
    ) -> (Self, Vec<T>) {
        let stride = length.next_multiple_of(LINE);
        let mut bytes = vec![0; count * stride + LINE];
        let first = bytes.as_ptr().align_offset(LINE).min(LINE);
        let filled = bytes[first..]
            .par_chunks_exact_mut(stride.max(1))
            .take(count)
            .enumerate()
            .map(|(i, slot)| fill(i, &mut slot[..length]))
            .collect();
        (Self { bytes, first, stride, length }, filled)
    }

    /// Frame `i`.
    pub fn frame(&self, i: usize) -> &[u8] {
        &self.bytes[self.first + i * self.stride..][..self.length]
    }
}

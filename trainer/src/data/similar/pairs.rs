//! Pairs of frames by their difference: those below a limit, or all.

use rayon::prelude::*;

use super::bounds::Bounds;
use super::sad::{FOUR, Sad, Sums};

/// Width of a histogram bucket, as the published project's.
pub const BUCKET: u32 = 10_000;
/// Pixels compared before looking whether the limit is reached.
const STRIDE: usize = 4096;
/// Frames on a side of a tile, and pixels of each: half of it stays in a megabyte of L2 while four
/// frames at a time, 16 kB, stay in L1.
const TILE_FRAMES: usize = 128;
const TILE_PIXELS: usize = 4096;

/// Two frames, `a < b`, and the sum of their absolute differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    pub a: u32,
    pub b: u32,
    pub sad: u32,
}

/// What is known of all pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct All {
    /// Pairs below the limit, sorted.
    pub below: Vec<Pair>,
    /// Pairs whose difference is in `[i * BUCKET, (i + 1) * BUCKET)`.
    pub histogram: Vec<u64>,
    /// Of every frame the one most like it and their difference; none when it is alone.
    pub nearest: Vec<Option<(u32, u32)>>,
}

impl All {
    fn new(frames: usize) -> Self {
        Self { below: vec![], histogram: vec![], nearest: vec![None; frames] }
    }

    fn count(&mut self, pair: Pair, limit: u32) {
        let Pair { a, b, sad } = pair;
        if sad < limit {
            self.below.push(pair);
        }
        let bucket = (sad / BUCKET) as usize;
        if bucket >= self.histogram.len() {
            self.histogram.resize(bucket + 1, 0);
        }
        self.histogram[bucket] += 1;
        nearer(&mut self.nearest[a as usize], b, sad);
        nearer(&mut self.nearest[b as usize], a, sad);
    }

    fn merge(mut self, other: Self) -> Self {
        self.below.extend(other.below);
        self.histogram.resize(self.histogram.len().max(other.histogram.len()), 0);
        for (sum, more) in self.histogram.iter_mut().zip(other.histogram) {
            *sum += more;
        }
        for (slot, other) in self.nearest.iter_mut().zip(other.nearest) {
            if let Some((frame, sad)) = other {
                nearer(slot, frame, sad);
            }
        }
        self
    }
}

/// Keeps the least difference; of equal ones the first frame, whatever the order of arrival.
fn nearer(slot: &mut Option<(u32, u32)>, frame: u32, sad: u32) {
    if slot.is_none_or(|(held, least)| (sad, frame) < (least, held)) {
        *slot = Some((frame, sad));
    }
}

/// Pairs of `frames` (rows of `width` pixels) with a difference below `limit`, sorted. Exact: a pair
/// is left out only when a lower bound, or the pixels seen so far, reach the limit. `done` hears
/// how many more frames have met all others, from any thread.
pub fn below(
    sad: Sad,
    frames: &[&[u8]],
    width: usize,
    limit: u32,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Pair> {
    let bounds = Bounds::of(frames, width);
    let mut pairs: Vec<Pair> = (0..frames.len())
        .into_par_iter()
        .flat_map_iter(|place| {
            let mut found = vec![];
            for other in bounds.window(place, limit) {
                if bounds.may_be_below(place, other, limit) {
                    let [i, j] = [place, other].map(|place| bounds.order[place]);
                    let (a, b) = (i.min(j), i.max(j));
                    let exact = capped(sad, frames[a as usize], frames[b as usize], limit);
                    found.extend(exact.map(|sad| Pair { a, b, sad }));
                }
            }
            done(1);
            found
        })
        .collect();
    pairs.par_sort_unstable();
    pairs
}

/// The difference, unless it reaches `limit`.
fn capped(sad: Sad, a: &[u8], b: &[u8], limit: u32) -> Option<u32> {
    let mut sum = 0;
    for (a, b) in a.chunks(STRIDE).zip(b.chunks(STRIDE)) {
        sum += sad.pair(a, b);
        if sum >= limit {
            return None;
        }
    }
    (sum < limit).then_some(sum)
}

/// The difference of every pair of `frames`. `done` hears how many more pairs are counted, from any
/// thread.
pub fn all(sad: Sad, frames: &[&[u8]], limit: u32, done: &(dyn Fn(usize) + Sync)) -> All {
    let tiles = frames.len().div_ceil(TILE_FRAMES);
    let squares: Vec<(usize, usize)> = (0..tiles).flat_map(|i| (i..tiles).map(move |j| (i, j))).collect();
    let mut all = squares
        .into_par_iter()
        .fold(
            || (All::new(frames.len()), vec![0; TILE_FRAMES * TILE_FRAMES]),
            |(mut all, mut sums), (i, j)| {
                let tile = |t: usize| &frames[t * TILE_FRAMES..frames.len().min((t + 1) * TILE_FRAMES)];
                square(sad, tile(i), tile(j), i == j, &mut sums);
                let mut counted = 0;
                for x in 0..tile(i).len() {
                    for y in if i == j { x + 1 } else { 0 }..tile(j).len() {
                        let (a, b) = ((i * TILE_FRAMES + x) as u32, (j * TILE_FRAMES + y) as u32);
                        all.count(Pair { a, b, sad: sums[x * TILE_FRAMES + y] }, limit);
                        counted += 1;
                    }
                }
                done(counted);
                (all, sums)
            },
        )
        .map(|(all, _)| all)
        .reduce(|| All::new(frames.len()), All::merge);
    all.below.par_sort_unstable();
    all
}

/// `sums[x * TILE_FRAMES + y]` of frame `x` of `a` and `y` of `b`. Where both are the same frames,
/// only `y >= x` is right.
fn square(sad: Sad, a: &[&[u8]], b: &[&[u8]], same: bool, sums: &mut [u32]) {
    sums.fill(0);
    let length = a.first().map_or(0, |frame| frame.len());
    for from in (0..length).step_by(TILE_PIXELS) {
        let pixels = from..length.min(from + TILE_PIXELS);
        // Behind the last frame stands the last one again; those sums are not looked at.
        let four = |frames: &[&'_ [u8]], at: usize| -> [usize; FOUR] {
            std::array::from_fn(|k| (at + k).min(frames.len() - 1))
        };
        for x in (0..a.len()).step_by(FOUR) {
            let left = four(a, x).map(|i| &a[i][pixels.clone()]);
            for y in (if same { x } else { 0 }..b.len()).step_by(FOUR) {
                let right = four(b, y).map(|i| &b[i][pixels.clone()]);
                let more: Sums = sad.four_by_four(left, right);
                for (row, more) in sums[x * TILE_FRAMES..].chunks_mut(TILE_FRAMES).zip(more) {
                    for (sum, more) in row[y..].iter_mut().zip(more) {
                        *sum += more;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::Rng;

    const WIDTH: usize = 61;
    const HEIGHT: usize = 23;

    /// Random frames in families: some equal, some nearly, some far.
    fn frames(seed: u64, count: usize) -> Vec<Vec<u8>> {
        let mut rng = Rng::new(&[seed]);
        let mut frames: Vec<Vec<u8>> = vec![];
        for i in 0..count {
            let mut frame: Vec<u8> = match i % 3 {
                0 => (0..WIDTH * HEIGHT).map(|_| rng.next() as u8).collect(),
                1 => vec![rng.next() as u8; WIDTH * HEIGHT],
                _ => frames[rng.below(i)].clone(),
            };
            for _ in 0..[0, 1, 30][rng.below(3)] {
                let at = rng.below(frame.len());
                frame[at] = frame[at].wrapping_add(rng.below(9) as u8);
            }
            frames.push(frame);
        }
        frames
    }

    fn brute(frames: &[&[u8]]) -> Vec<Pair> {
        let sad = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let row = |a: usize| (a + 1..frames.len()).map(move |b| (a, b));
        (0..frames.len())
            .flat_map(row)
            .map(|(a, b)| Pair { a: a as u32, b: b as u32, sad: sad(frames[a], frames[b]) })
            .collect()
    }

    #[test]
    fn the_search_finds_what_brute_force_finds() {
        for seed in 0..6 {
            let frames = frames(seed, 70);
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let brute = brute(&frames);
            for limit in [0, 1, 2, 100, 1000, 60_000, u32::MAX] {
                let want: Vec<Pair> = brute.iter().copied().filter(|p| p.sad < limit).collect();
                assert_eq!(below(Sad::detect(), &frames, WIDTH, limit, &|_| ()), want, "{seed} {limit}");
            }
        }
    }

    #[test]
    fn all_pairs_equal_brute_force_across_tiles() {
        for count in [0, 1, 2, 5, TILE_FRAMES + 3] {
            let frames = frames(9, count);
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let brute = brute(&frames);
            let mut want = All::new(count);
            for &pair in &brute {
                want.count(pair, 500);
            }
            for sad in Sad::all() {
                let counted = std::sync::atomic::AtomicUsize::new(0);
                let add = |n| _ = counted.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
                assert_eq!(all(sad, &frames, 500, &add), want, "{count} {}", sad.name());
                assert_eq!(counted.into_inner(), brute.len());
            }
        }
    }

    #[test]
    fn pixels_beyond_one_tile_count() {
        let mut frames = vec![vec![7; 2 * TILE_PIXELS + 5]; 3];
        frames[2][2 * TILE_PIXELS + 4] = 17;
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let all = all(Sad::detect(), &frames, 10, &|_| ());
        assert_eq!(all.below, [Pair { a: 0, b: 1, sad: 0 }]);
        assert_eq!(all.histogram, [3]);
        assert_eq!(all.nearest, [Some((1, 0)), Some((0, 0)), Some((0, 10))]);
    }
}

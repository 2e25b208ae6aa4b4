//! Block sums of frames: cheap lower bounds of the sum of absolute differences of a pair.
//!
//! By the triangle inequality |sum of a - sum of b| over any block is at most the sum of |a - b|
//! over it. So is the sum of such differences over blocks that do not overlap, and the finer the
//! blocks, the closer. A pair is out as soon as one bound reaches the limit.

use rayon::prelude::*;

/// Side of a fine block in pixels: the largest whose sum fits 16 bits (16 * 16 * 255 = 65,280).
const FINE: usize = 16;
/// Side of a coarse block in fine blocks: 64 pixels.
const COARSE: usize = 4;

/// Sums of every frame over itself, 64 x 64 and 16 x 16 pixels; frames in order of their total.
#[derive(Debug)]
pub struct Bounds {
    /// Frame numbers, by total.
    pub order: Vec<u32>,
    /// In that order, as all below.
    totals: Vec<u32>,
    coarse: Vec<Box<[u32]>>,
    fine: Vec<Box<[u16]>>,
}

impl Bounds {
    /// Sums up `frames`, rows of `width` pixels each. All cores work.
    pub fn of(frames: &[&[u8]], width: usize) -> Self {
        let sums: Vec<_> = frames.par_iter().map(|frame| sums(frame, width)).collect();
        let mut order: Vec<u32> = (0..frames.len() as u32).collect();
        order.sort_by_key(|&i| sums[i as usize].0);
        let mut bounds = Self { order, totals: vec![], coarse: vec![], fine: vec![] };
        for &i in &bounds.order {
            let (total, coarse, fine) = &sums[i as usize];
            bounds.totals.push(*total);
            bounds.coarse.push(coarse.clone());
            bounds.fine.push(fine.clone());
        }
        bounds
    }

    /// Places in `order` behind `place` whose total does not rule out a difference below `limit`.
    pub fn window(&self, place: usize, limit: u32) -> std::ops::Range<usize> {
        let reach = self.totals[place].saturating_add(limit);
        let behind = place + 1;
        behind..behind + self.totals[behind..].partition_point(|&total| total < reach)
    }

    /// Whether the block sums leave room for a difference below `limit`.
    pub fn may_be_below(&self, a: usize, b: usize, limit: u32) -> bool {
        difference(&self.coarse[a], &self.coarse[b], u32::abs_diff) < limit
            && difference(&self.fine[a], &self.fine[b], |a, b| u32::from(a.abs_diff(b))) < limit
    }
}

fn difference<T: Copy>(a: &[T], b: &[T], differ: impl Fn(T, T) -> u32) -> u32 {
    a.iter().zip(b).map(|(&a, &b)| differ(a, b)).sum()
}

/// Total, coarse and fine sums of one frame; blocks at the right and lower edge are smaller.
fn sums(frame: &[u8], width: usize) -> (u32, Box<[u32]>, Box<[u16]>) {
    let columns = width.div_ceil(FINE);
    let mut fine: Vec<u16> = vec![];
    for rows in frame.chunks(FINE * width) {
        let mut line = vec![0u16; columns];
        for row in rows.chunks(width) {
            for (sum, block) in line.iter_mut().zip(row.chunks(FINE)) {
                *sum += block.iter().map(|&p| u16::from(p)).sum::<u16>();
            }
        }
        fine.extend(line);
    }
    let mut coarse: Vec<u32> = vec![];
    for rows in fine.chunks(COARSE * columns) {
        let mut line = vec![0u32; columns.div_ceil(COARSE)];
        for row in rows.chunks(columns) {
            for (sum, block) in line.iter_mut().zip(row.chunks(COARSE)) {
                *sum += block.iter().map(|&p| u32::from(p)).sum::<u32>();
            }
        }
        coarse.extend(line);
    }
    (coarse.iter().sum(), coarse.into(), fine.into())
}

#[cfg(test)]
mod tests {
    use super::super::sad::Sad;
    use super::*;
    use crate::util::Rng;

    /// Frames at every distance from each other: noise on ramps of different steepness.
    fn frames(rng: &mut Rng, count: usize, width: usize, height: usize) -> Vec<Vec<u8>> {
        let frame = |_| {
            let (level, slope) = (rng.below(256), rng.below(4));
            let noise = [0, 1, 20, 255][rng.below(4)];
            let pixel = |i: usize| (level + slope * (i % width) / 2 + rng.below(noise + 1)).min(255) as u8;
            (0..width * height).map(pixel).collect()
        };
        (0..count).map(frame).collect()
    }

    #[test]
    fn bounds_never_exceed_the_difference() {
        let mut rng = Rng::new(&[3]);
        for (width, height) in [(1, 1), (15, 17), (16, 16), (70, 65), (130, 33)] {
            let frames = frames(&mut rng, 40, width, height);
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let bounds = Bounds::of(&frames, width);
            for a in 0..frames.len() {
                for b in a + 1..frames.len() {
                    let [i, j] = [a, b].map(|place| frames[bounds.order[place] as usize]);
                    let sad = Sad::detect().pair(i, j);
                    // The least limit that lets the pair through.
                    assert!(bounds.may_be_below(a, b, sad + 1), "{width}x{height} {a} {b}");
                    assert!(bounds.window(a, sad + 1).contains(&b), "{width}x{height} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn brightest_blocks_fit() {
        let (total, coarse, fine) = sums(&[255; 64 * 64], 64);
        assert_eq!((total, coarse.len(), fine.len()), (64 * 64 * 255, 1, 16));
        assert_eq!(fine[0], 65_280);
    }
}

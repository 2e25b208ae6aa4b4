//! Where each part of a crop was in the crop before: block matching on two levels (Bierling, 1988), first all together at
//! an eighth of the size, then each block around that at a quarter.

use crate::contract::{HEIGHT, PIXELS, Plane, WIDTH};

/// Pixels of a crop along each side of a cell of the field.
pub const STEP: usize = 8;
/// Cells in a row of the field.
pub const COLUMNS: usize = WIDTH / STEP;
const ROWS: usize = HEIGHT / STEP;

/// A quarter of the crop: blocks are matched on it.
const QUARTER: (usize, usize) = (WIDTH / 4, HEIGHT / 4);
/// An eighth: the whole is matched on it.
const EIGHTH: (usize, usize) = (WIDTH / 8, HEIGHT / 8);
/// How far the whole may move, in pixels of the eighth.
const FAR: isize = 6;
/// How far a block may move beside the whole, in pixels of the quarter.
const NEAR: isize = 3;
const SIDE: usize = 2 * NEAR as usize + 1;
/// Blocks, side by side and below each other; each is matched with some of its neighbours' pixels.
const BLOCKS: (usize, usize) = (9, 8);
const WINDOW: (usize, usize) = (24, 20);
const PIXELS_OF_WINDOW: f32 = (WINDOW.0 * WINDOW.1) as f32;
/// What a pixel of motion beside the whole costs: of two that fit nearly as well, the smaller is meant.
const RELUCTANCE: u32 = (WINDOW.0 * WINDOW.1) as u32 / 8;
/// Mean differences, relative to the block's own contrast, up to which a match is trusted, and from which on it is none.
const TRUSTED: f32 = 0.5;
const REFUSED: f32 = 0.9;
/// Contrast, in levels, below which there is nothing to match, and nothing that could be wrong.
const FAINT: f32 = 2.0;

/// Where a cell's tissue was, relative to where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moved {
    /// Columns of the crop.
    pub x: isize,
    /// Rows of the crop.
    pub y: isize,
    /// 0 where the crop before explains this one, 1 where it does not.
    pub doubt: f32,
}

/// The last two crops, made small, and the field between them.
pub struct Motion {
    now: Small,
    before: Small,
    field: Vec<Moved>,
    /// What rounding to pixels has left of each cell's motion: a slow one would never be followed.
    rest: Vec<(f32, f32)>,
}

struct Small {
    quarter: Vec<u8>,
    eighth: Vec<u8>,
}

/// A block's motion in pixels of the crop.
#[derive(Clone, Copy, Default)]
struct Block {
    x: f32,
    y: f32,
    doubt: f32,
}

impl Default for Motion {
    fn default() -> Self {
        let small = || Small { quarter: vec![0; PIXELS / 16], eighth: vec![0; PIXELS / 64] };
        Self {
            now: small(),
            before: small(),
            field: vec![Moved::default(); COLUMNS * ROWS],
            rest: vec![(0.0, 0.0); COLUMNS * ROWS],
        }
    }
}

impl Motion {
    /// The next crop is of another scene.
    pub fn forget(&mut self) {
        self.rest.fill((0.0, 0.0));
    }

    /// Takes the next crop.
    pub fn take(&mut self, crop: &Plane) {
        std::mem::swap(&mut self.now, &mut self.before);
        shrink::<4>(&crop[..], WIDTH, &mut self.now.quarter);
        shrink::<2>(&self.now.quarter, QUARTER.0, &mut self.now.eighth);
    }

    /// The motion between the last two crops, a cell for each [`STEP`] by [`STEP`] pixels, row by row.
    pub fn estimate(&mut self) -> &[Moved] {
        let whole = self.whole();
        let mut blocks = [[Block::default(); BLOCKS.0]; BLOCKS.1];
        for (row, blocks) in blocks.iter_mut().enumerate() {
            for (column, block) in blocks.iter_mut().enumerate() {
                *block = self.block(column, row, whole);
            }
        }
        for (i, (cell, rest)) in self.field.iter_mut().zip(&mut self.rest).enumerate() {
            let block = interpolate(&blocks, i % COLUMNS, i / COLUMNS);
            let (x, y) = (block.x + rest.0, block.y + rest.1);
            *rest = (x - x.round(), y - y.round());
            *cell = Moved { x: x.round() as isize, y: y.round() as isize, doubt: block.doubt };
        }
        &self.field
    }

    /// The motion that fits best to all of the crop, in pixels of the eighth.
    fn whole(&self) -> (isize, isize) {
        let (width, height) = EIGHTH;
        let inner = (width - 2 * FAR as usize, height - 2 * FAR as usize);
        let reluctance = (inner.0 * inner.1) as u32 / 32;
        let moves = (-FAR..=FAR).flat_map(|y| (-FAR..=FAR).map(move |x| (x, y)));
        let cost = |&(x, y): &(isize, isize)| {
            let at = ((FAR + x) as usize, (FAR + y) as usize);
            let differs = difference(
                (&self.now.eighth, (FAR as usize, FAR as usize)),
                (&self.before.eighth, at),
                width,
                inner,
            );
            differs + (x.unsigned_abs() + y.unsigned_abs()) as u32 * reluctance
        };
        moves.min_by_key(cost).unwrap_or_default()
    }

    fn block(&self, column: usize, row: usize, whole: (isize, isize)) -> Block {
        let place = |block: usize, blocks: usize, size: usize, window: usize| {
            (block * size / blocks + size / blocks / 2).saturating_sub(window / 2).min(size - window)
        };
        let left = place(column, BLOCKS.0, QUARTER.0, WINDOW.0);
        let top = place(row, BLOCKS.1, QUARTER.1, WINDOW.1);
        // Of a block at the edge that came in from outside nothing is known but that it moves with the others.
        let limit = |at: usize, by: isize, size: usize, window: usize| {
            let reach = (size - window) as isize;
            (at as isize + by).clamp(NEAR.min(reach), reach - NEAR) - at as isize
        };
        let about =
            (limit(left, 2 * whole.0, QUARTER.0, WINDOW.0), limit(top, 2 * whole.1, QUARTER.1, WINDOW.1));
        let mut costs = [[0u32; SIDE]; SIDE];
        let (mut best, mut best_cost) = ((0, 0), u32::MAX);
        for (y, costs) in costs.iter_mut().enumerate() {
            for (x, cost) in costs.iter_mut().enumerate() {
                let by = (about.0 + x as isize - NEAR, about.1 + y as isize - NEAR);
                let at = (left.saturating_add_signed(by.0), top.saturating_add_signed(by.1));
                *cost = difference(
                    (&self.now.quarter, (left, top)),
                    (&self.before.quarter, at),
                    QUARTER.0,
                    WINDOW,
                );
                let far = (by.0 - 2 * whole.0).unsigned_abs() + (by.1 - 2 * whole.1).unsigned_abs();
                let reluctant = *cost + far as u32 * RELUCTANCE;
                if reluctant < best_cost {
                    (best, best_cost) = ((x, y), reluctant);
                }
            }
        }
        let (x, y) = best;
        let least = costs[y][x];
        // The lowest point of a parabola through three costs lies between the pixels.
        let between = |at: usize, cost: &dyn Fn(usize) -> u32| match at {
            0 => 0.0,
            at if at + 1 == SIDE => 0.0,
            at => {
                let (a, b, c) = (cost(at - 1) as f32, least as f32, cost(at + 1) as f32);
                let curve = a - 2.0 * b + c;
                if curve > 0.0 { ((a - c) / (2.0 * curve)).clamp(-0.5, 0.5) } else { 0.0 }
            }
        };
        let dx = x as f32 - NEAR as f32 + about.0 as f32 + between(x, &|x| costs[y][x]);
        let dy = y as f32 - NEAR as f32 + about.1 as f32 + between(y, &|y| costs[y][x]);
        let differs = least as f32 / PIXELS_OF_WINDOW / (self.contrast(left, top) + FAINT);
        let doubt = ((differs - TRUSTED) / (REFUSED - TRUSTED)).clamp(0.0, 1.0);
        Block { x: 4.0 * dx, y: 4.0 * dy, doubt }
    }

    /// Mean distance of a window's pixels from their mean.
    fn contrast(&self, left: usize, top: usize) -> f32 {
        let rows =
            || (top..top + WINDOW.1).map(|row| &self.now.quarter[row * QUARTER.0 + left..][..WINDOW.0]);
        let sum: u32 = rows().flatten().map(|&p| u32::from(p)).sum();
        let mean = (sum as f32 / PIXELS_OF_WINDOW).round() as u8;
        let away: u32 = rows().flatten().map(|&p| u32::from(p.abs_diff(mean))).sum();
        away as f32 / PIXELS_OF_WINDOW
    }
}

/// The motion at a cell, between those of the four nearest blocks.
fn interpolate(blocks: &[[Block; BLOCKS.0]; BLOCKS.1], column: usize, row: usize) -> Block {
    let place = |cell: usize, cells: usize, blocks: usize| {
        let at = ((cell as f32 + 0.5) * blocks as f32 / cells as f32 - 0.5).clamp(0.0, (blocks - 1) as f32);
        let first = (at as usize).min(blocks - 2);
        (first, at - first as f32)
    };
    let ((x, right), (y, below)) = (place(column, COLUMNS, BLOCKS.0), place(row, ROWS, BLOCKS.1));
    let mix = |of: &dyn Fn(&Block) -> f32| {
        let across = |row: &[Block; BLOCKS.0]| of(&row[x]) * (1.0 - right) + of(&row[x + 1]) * right;
        across(&blocks[y]) * (1.0 - below) + across(&blocks[y + 1]) * below
    };
    Block { x: mix(&|block| block.x), y: mix(&|block| block.y), doubt: mix(&|block| block.doubt) }
}

/// Means of `N` by `N` pixels.
fn shrink<const N: usize>(from: &[u8], width: usize, to: &mut [u8]) {
    for (rows, to) in from.chunks_exact(N * width).zip(to.chunks_exact_mut(width / N)) {
        for (x, to) in to.iter_mut().enumerate() {
            let sum: u32 =
                (0..N).flat_map(|row| &rows[row * width + N * x..][..N]).map(|&p| u32::from(p)).sum();
            *to = ((sum + (N * N / 2) as u32) / (N * N) as u32) as u8;
        }
    }
}

/// Sum of the absolute differences between two windows of pictures that are `width` wide.
fn difference(
    (a, (ax, ay)): (&[u8], (usize, usize)),
    (b, (bx, by)): (&[u8], (usize, usize)),
    width: usize,
    window: (usize, usize),
) -> u32 {
    let rows = 0..window.1;
    let row = |row: usize| {
        let (a, b) = (&a[(ay + row) * width + ax..][..window.0], &b[(by + row) * width + bx..][..window.0]);
        a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>()
    };
    rows.map(row).sum()
}

//! Mask: the engine's probability map, cut at the threshold and freed of specks.

use nervelight_engines::{HEIGHT, Plane, WIDTH, plane};

/// The nerve in one crop. Reused from map to map; nothing is allocated after the first.
pub struct Mask {
    /// 1 in the nerve, 0 elsewhere.
    pub inside: Box<Plane>,
    /// Indices into the crop of the nerve's boundary pixels (4-connected, inside the nerve).
    pub outline: Vec<u32>,
    /// Pixels of nerve.
    pub area: usize,
    runs: Vec<Run>,
}

/// A horizontal run of pixels over the threshold.
#[derive(Clone, Copy)]
struct Run {
    row: u32,
    start: u32,
    end: u32,
    /// A run of the same component with a smaller index, or itself.
    parent: u32,
    /// Area of the component, at its root.
    area: u32,
}

impl Default for Mask {
    fn default() -> Self {
        Self {
            inside: plane(),
            outline: Vec::with_capacity(WIDTH * HEIGHT),
            area: 0,
            // A checkerboard row has WIDTH / 2 runs.
            runs: Vec::with_capacity(WIDTH / 2 * HEIGHT),
        }
    }
}

impl Mask {
    /// Keeps the 8-connected components of `map >= threshold` that have at least `min_area` pixels.
    ///
    /// Components are found on runs with union-find (Rosenfeld and Pfaltz, 1966).
    pub fn update(&mut self, map: &Plane, threshold: u8, min_area: u32) {
        self.find_runs(map, threshold);
        self.join_runs();
        self.inside.fill(0);
        self.area = 0;
        for i in 0..self.runs.len() {
            let run = self.runs[i];
            let area = self.runs[self.root(i as u32) as usize].area;
            if area >= min_area {
                let row = run.row as usize * WIDTH;
                self.inside[row + run.start as usize..row + run.end as usize].fill(1);
                self.area += (run.end - run.start) as usize;
            }
        }
        self.find_outline();
    }

    fn find_runs(&mut self, map: &Plane, threshold: u8) {
        self.runs.clear();
        for (row, pixels) in map.chunks_exact(WIDTH).enumerate() {
            let mut col = 0;
            while let Some(start) = pixels[col..].iter().position(|&p| p >= threshold) {
                let start = col + start;
                let len = pixels[start..].iter().position(|&p| p < threshold).unwrap_or(WIDTH - start);
                col = start + len;
                let parent = self.runs.len() as u32;
                self.runs.push(Run {
                    row: row as u32,
                    start: start as u32,
                    end: col as u32,
                    parent,
                    area: len as u32,
                });
            }
        }
    }

    fn join_runs(&mut self) {
        let mut above = 0;
        for i in 0..self.runs.len() {
            let run = self.runs[i];
            // Runs of the row above that end before this one begins touch no later run either.
            while above < i && (self.runs[above].row + 1 < run.row || self.ends_before(above, &run)) {
                above += 1;
            }
            let mut j = above;
            while j < i && self.runs[j].row + 1 == run.row && self.runs[j].start <= run.end {
                self.union(j as u32, i as u32);
                j += 1;
            }
        }
    }

    fn ends_before(&self, above: usize, run: &Run) -> bool {
        let above = &self.runs[above];
        above.row + 1 == run.row && above.end < run.start
    }

    fn root(&self, mut i: u32) -> u32 {
        while self.runs[i as usize].parent != i {
            i = self.runs[i as usize].parent;
        }
        i
    }

    fn union(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            self.runs[low as usize].area += self.runs[high as usize].area;
            self.runs[high as usize].parent = low;
        }
    }

    fn find_outline(&mut self) {
        self.outline.clear();
        for run in &self.runs {
            let row = run.row as usize;
            for col in run.start as usize..run.end as usize {
                let i = row * WIDTH + col;
                // The crop's edge is no boundary of the nerve, which may go on beyond it.
                let outside = |there: bool, j: usize| there && self.inside[j] == 0;
                if self.inside[i] == 1
                    && (outside(col > 0, i.wrapping_sub(1))
                        || outside(col + 1 < WIDTH, i + 1)
                        || outside(row > 0, i.wrapping_sub(WIDTH))
                        || outside(row + 1 < HEIGHT, i + WIDTH))
                {
                    self.outline.push(i as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(blocks: &[(usize, usize, usize, usize)]) -> Box<Plane> {
        let mut map = plane();
        for &(x, y, w, h) in blocks {
            for row in y..y + h {
                map[row * WIDTH + x..][..w].fill(200);
            }
        }
        map
    }

    #[test]
    fn specks_go_and_nerves_stay() {
        let mut mask = Mask::default();
        mask.update(&map(&[(10, 10, 20, 20), (100, 100, 3, 3)]), 128, 10);
        assert_eq!(mask.area, 400);
        assert_eq!((mask.inside[10 * WIDTH + 10], mask.inside[100 * WIDTH + 100]), (1, 0));
        mask.update(&map(&[(100, 100, 3, 3)]), 128, 9);
        assert_eq!(mask.area, 9, "the earlier mask is gone");
        mask.update(&map(&[(100, 100, 3, 3)]), 201, 9);
        assert_eq!((mask.area, mask.outline.len()), (0, 0));
    }

    #[test]
    fn components_join_over_corners_and_forks() {
        let mut mask = Mask::default();
        mask.update(&map(&[(10, 10, 5, 5), (15, 15, 5, 5)]), 128, 50);
        assert_eq!(mask.area, 50, "8-connected at the corner");
        // A U: two arms that meet only at the bottom.
        mask.update(&map(&[(10, 10, 2, 20), (30, 10, 2, 20), (10, 30, 22, 2)]), 128, 124);
        assert_eq!(mask.area, 124);
        // Two components in the same rows stay two.
        mask.update(&map(&[(10, 10, 5, 5), (16, 10, 5, 5)]), 128, 26);
        assert_eq!(mask.area, 0);
    }

    #[test]
    fn brute_force_agrees_on_noise() {
        let mut map = plane();
        let mut state = 1u32;
        for p in map.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *p = if state >> 24 < 100 { 255 } else { 0 };
        }
        let mut mask = Mask::default();
        mask.update(&map, 128, 12);

        let mut seen = vec![false; WIDTH * HEIGHT];
        let mut expected = vec![0u8; WIDTH * HEIGHT];
        for i in 0..map.len() {
            if seen[i] || map[i] < 128 {
                continue;
            }
            let (mut stack, mut component) = (vec![i], vec![]);
            seen[i] = true;
            while let Some(p) = stack.pop() {
                component.push(p);
                let (x, y) = ((p % WIDTH) as i64, (p / WIDTH) as i64);
                for (dx, dy) in (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (dx, dy))) {
                    let (nx, ny) = (x + dx, y + dy);
                    if (0..WIDTH as i64).contains(&nx) && (0..HEIGHT as i64).contains(&ny) {
                        let n = ny as usize * WIDTH + nx as usize;
                        if !seen[n] && map[n] >= 128 {
                            seen[n] = true;
                            stack.push(n);
                        }
                    }
                }
            }
            if component.len() >= 12 {
                component.iter().for_each(|&p| expected[p] = 1);
            }
        }
        assert!(mask.area > 1000, "the noise is dense enough to test something");
        assert_eq!(mask.inside[..], expected[..]);
    }

    #[test]
    fn the_outline_is_one_pixel_thin() {
        let mut mask = Mask::default();
        mask.update(&map(&[(10, 10, 20, 20)]), 128, 1);
        assert_eq!(mask.outline.len(), 4 * 20 - 4);
        mask.update(&map(&[(0, 0, WIDTH, HEIGHT)]), 128, 1);
        assert_eq!(mask.outline.len(), 0, "the crop's edge is not the nerve's");
    }
}

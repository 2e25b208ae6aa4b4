//! Connected components of a probability map: what counts as one nerve, and how large it is.
//!
//! The daemon draws by them and the trainer chooses `threshold` and `min_area` by them, so that what
//! was chosen is what is shown.

/// The 8-connected components of one map. Reused from map to map; nothing is allocated once the
/// largest number of runs has been seen.
///
/// They are found on runs of pixels with union-find (Rosenfeld and Pfaltz, 1966).
#[derive(Debug, Default)]
pub struct Components {
    runs: Vec<Run>,
}

/// Pixels `start..end` of a row, all at or over the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Row of the map.
    pub row: usize,
    /// First column.
    pub start: usize,
    /// Column after the last.
    pub end: usize,
    /// A run of the same component with a smaller index, or itself.
    parent: usize,
    /// Pixels of the component, at its root.
    area: usize,
}

impl Components {
    /// Room for the runs of any map of `pixels` pixels.
    pub fn with_room_for(pixels: usize) -> Self {
        Self { runs: Vec::with_capacity(pixels.div_ceil(2)) }
    }

    /// Finds the components of `map >= threshold`; `map` has rows of `width` bytes.
    pub fn find(&mut self, map: &[u8], width: usize, threshold: u8) {
        self.runs.clear();
        for (row, pixels) in map.chunks_exact(width).enumerate() {
            let mut col = 0;
            while let Some(offset) = pixels[col..].iter().position(|&p| p >= threshold) {
                let start = col + offset;
                let area = pixels[start..].iter().position(|&p| p < threshold).unwrap_or(width - start);
                col = start + area;
                self.runs.push(Run { row, start, end: col, parent: self.runs.len(), area });
            }
        }
        self.join();
    }

    /// Every run in row-major order, with the index of the first run of its component and the
    /// component's area in pixels.
    pub fn runs(&self) -> impl Iterator<Item = (&Run, usize, usize)> {
        self.runs.iter().map(|run| {
            let root = self.root(run.parent);
            (run, root, self.runs[root].area)
        })
    }

    fn join(&mut self) {
        let mut above = 0;
        for i in 0..self.runs.len() {
            let run = self.runs[i];
            // Runs that end before this one begins touch no later run of its row either.
            let passed = |a: &Run| a.row + 1 < run.row || (a.row + 1 == run.row && a.end < run.start);
            while above < i && passed(&self.runs[above]) {
                above += 1;
            }
            let mut j = above;
            while j < i && self.runs[j].row + 1 == run.row && self.runs[j].start <= run.end {
                self.union(j, i);
                j += 1;
            }
        }
    }

    fn root(&self, mut i: usize) -> usize {
        while self.runs[i].parent != i {
            i = self.runs[i].parent;
        }
        i
    }

    fn union(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            self.runs[low].area += self.runs[high].area;
            self.runs[high].parent = low;
        }
    }
}

/// 1 where a cart shows nerve: `map >= threshold` in components of `min_area` pixels or more. `map` has rows of `width`
/// bytes.
pub fn shown(map: &[u8], width: usize, threshold: u8, min_area: u32) -> Vec<u8> {
    let mut components = Components::default();
    components.find(map, width, threshold);
    let mut shown = vec![0; map.len()];
    for (run, _, area) in components.runs() {
        if area >= min_area as usize {
            shown[run.row * width..][run.start..run.end].fill(1);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Areas of the components in order of their first run.
    fn areas(map: &[u8], width: usize, threshold: u8) -> Vec<usize> {
        let mut components = Components::default();
        components.find(map, width, threshold);
        let mut seen: Vec<(usize, usize)> = components.runs().map(|(_, root, area)| (root, area)).collect();
        seen.dedup();
        seen.sort_unstable();
        seen.dedup();
        seen.into_iter().map(|(_, area)| area).collect()
    }

    #[test]
    fn corners_and_forks_join() {
        #[rustfmt::skip]
        let map = [
            9, 0, 0, 9, 0, 9,
            0, 9, 0, 9, 0, 9,
            0, 0, 0, 9, 9, 9,
            5, 0, 0, 0, 0, 0,
        ];
        assert_eq!(areas(&map, 6, 9), [2, 7], "a corner joins; a fork is one component");
        assert_eq!(areas(&map, 6, 5), [2, 7, 1]);
        assert_eq!(areas(&map, 6, 10), [0usize; 0]);
    }

    #[test]
    fn brute_force_agrees_on_noise() {
        const WIDTH: usize = 97;
        let mut state = 1u32;
        let map: Vec<u8> = (0..WIDTH * 83)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if state >> 24 < 100 { 255 } else { 0 }
            })
            .collect();
        let mut seen = vec![false; map.len()];
        let mut expected = vec![];
        for first in 0..map.len() {
            if seen[first] || map[first] == 0 {
                continue;
            }
            let (mut stack, mut area) = (vec![first], 0);
            seen[first] = true;
            while let Some(p) = stack.pop() {
                area += 1;
                let (x, y) = (p % WIDTH, p / WIDTH);
                for y in y.saturating_sub(1)..(y + 2).min(83) {
                    for x in x.saturating_sub(1)..(x + 2).min(WIDTH) {
                        let next = y * WIDTH + x;
                        if map[next] > 0 && !seen[next] {
                            seen[next] = true;
                            stack.push(next);
                        }
                    }
                }
            }
            expected.push(area);
        }
        assert!(expected.len() > 100, "the noise is dense enough to test something");
        assert_eq!(areas(&map, WIDTH, 128), expected);
    }
}

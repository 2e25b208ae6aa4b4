//! Mask: the engine's probability map, cut at the threshold and freed of specks.

use nervelight_engines::components::Components;
use nervelight_engines::{HEIGHT, PIXELS, Plane, WIDTH, plane};

/// The nerve in one crop. Reused from map to map; nothing is allocated after the first.
pub struct Mask {
    /// 1 in the nerve, 0 elsewhere.
    pub inside: Box<Plane>,
    /// Indices into the crop of the nerve's boundary pixels (4-connected, inside the nerve).
    pub outline: Vec<u32>,
    /// Pixels of nerve.
    pub area: usize,
    components: Components,
}

impl Default for Mask {
    fn default() -> Self {
        Self {
            inside: plane(),
            outline: Vec::with_capacity(PIXELS),
            area: 0,
            components: Components::with_room_for(PIXELS),
        }
    }
}

impl Mask {
    /// Keeps the components of `map >= threshold` that have at least `min_area` pixels.
    pub fn update(&mut self, map: &Plane, threshold: u8, min_area: u32) {
        self.components.find(map, WIDTH, threshold);
        self.inside.fill(0);
        self.area = 0;
        for (run, _, area) in self.components.runs() {
            if area >= min_area as usize {
                self.inside[run.row * WIDTH + run.start..run.row * WIDTH + run.end].fill(1);
                self.area += run.end - run.start;
            }
        }
        self.find_outline();
    }

    fn find_outline(&mut self) {
        self.outline.clear();
        for (run, ..) in self.components.runs() {
            for col in run.start..run.end {
                let i = run.row * WIDTH + col;
                // The crop's edge is no boundary of the nerve, which may go on beyond it.
                let outside = |there: bool, j: usize| there && self.inside[j] == 0;
                if self.inside[i] == 1
                    && (outside(col > 0, i.wrapping_sub(1))
                        || outside(col + 1 < WIDTH, i + 1)
                        || outside(run.row > 0, i.wrapping_sub(WIDTH))
                        || outside(run.row + 1 < HEIGHT, i + WIDTH))
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
    fn the_outline_is_one_pixel_thin() {
        let mut mask = Mask::default();
        mask.update(&map(&[(10, 10, 20, 20)]), 128, 1);
        assert_eq!(mask.outline.len(), 4 * 20 - 4);
        mask.update(&map(&[(0, 0, WIDTH, HEIGHT)]), 128, 1);
        assert_eq!(mask.outline.len(), 0, "the crop's edge is not the nerve's");
    }
}

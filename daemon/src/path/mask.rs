//! Mask: the engine's probability map, cut at the threshold and freed of specks.

use nervelight_engines::components::Components;
use nervelight_engines::{HEIGHT, PIXELS, Plane, WIDTH, plane};

use crate::frame::NerveSize;

/// The nerve in one crop. Reused from map to map; nothing is allocated after the first.
pub struct Mask {
    /// 1 in the nerve, 0 elsewhere.
    pub inside: Box<Plane>,
    /// Indices into the crop of the nerve's boundary pixels (4-connected, inside the nerve).
    pub outline: Vec<u32>,
    /// Pixels of nerve.
    pub area: usize,
    /// The largest nerve, where there is one.
    pub largest: Option<Extent>,
    components: Components,
}

/// Where a nerve lies in the crop, and its size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First column.
    pub left: usize,
    /// Column after the last.
    pub right: usize,
    /// First row.
    pub top: usize,
    /// Pixels.
    pub area: usize,
}

impl Extent {
    /// In millimetres: `spacing` is a pixel's width and height, and the crop's first row lies `rows` below the skin.
    pub fn size(&self, spacing: [f32; 2], rows: f32) -> NerveSize {
        let [width, height] = spacing;
        NerveSize {
            width_mm: (self.right - self.left) as f32 * width,
            area_mm2: self.area as f32 * width * height,
            depth_mm: ((self.top as f32 + rows) * height).max(0.0),
        }
    }
}

impl Default for Mask {
    fn default() -> Self {
        Self {
            inside: plane(),
            outline: Vec::with_capacity(PIXELS),
            area: 0,
            largest: None,
            components: Components::with_room_for(PIXELS),
        }
    }
}

impl Mask {
    /// Keeps the components of `map >= threshold` that have at least `min_area` pixels.
    pub fn update(&mut self, map: &Plane, threshold: u8, min_area: u32) {
        self.components.find(map, WIDTH, threshold);
        self.inside.fill(0);
        (self.area, self.largest) = (0, None);
        let mut largest = None;
        for (run, root, area) in self.components.runs() {
            if area >= min_area as usize {
                if self.largest.is_none_or(|known| area > known.area) {
                    largest = Some(root);
                    self.largest = Some(Extent { left: run.start, right: run.end, top: run.row, area });
                }
                if let (true, Some(known)) = (largest == Some(root), &mut self.largest) {
                    known.left = known.left.min(run.start);
                    known.right = known.right.max(run.end);
                }
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
    fn the_largest_nerve_is_measured() {
        let mut mask = Mask::default();
        mask.update(&map(&[(10, 10, 20, 20), (200, 40, 50, 30), (300, 300, 3, 3)]), 128, 10);
        let largest = mask.largest.unwrap();
        assert_eq!(largest, Extent { left: 200, right: 250, top: 40, area: 1500 });
        let size = largest.size([0.1, 0.2], 10.0);
        let expected = NerveSize { width_mm: 5.0, area_mm2: 30.0, depth_mm: 10.0 };
        let differs = |a: f32, b: f32| (a - b).abs() > 1e-4;
        assert!(!differs(size.width_mm, expected.width_mm) && !differs(size.area_mm2, expected.area_mm2));
        assert!(!differs(size.depth_mm, expected.depth_mm), "{size:?}");
        assert_eq!(largest.size([0.1, 0.2], -100.0).depth_mm, 0.0, "a nerve above the skin is at the skin");
        // A slanting nerve, each row further to the left.
        let mut slanting = plane();
        (0..30).for_each(|row| slanting[(50 + row) * WIDTH + 100 - row..][..20].fill(200));
        mask.update(&slanting, 128, 10);
        assert_eq!(mask.largest, Some(Extent { left: 71, right: 120, top: 50, area: 600 }));
        mask.update(&map(&[]), 128, 10);
        assert_eq!(mask.largest, None);
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

//! Connected regions of a map, as the cart finds them.

/// One 8-connected region of pixels at or over the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Pixels in it.
    pub area: u32,
    /// Pixels of these that are nerve in truth.
    pub right: u32,
}

/// Labels of pixels, 0 where the map is under `threshold`, else 1 + the index of their region; and
/// the regions. `map` and `nerve` are `width` pixels wide.
pub fn regions(map: &[u8], nerve: &[u8], width: usize, threshold: u8) -> (Vec<u32>, Vec<Region>) {
    let height = map.len() / width;
    let mut labels = vec![0u32; map.len()];
    let mut found = Vec::new();
    let mut open = Vec::new();
    for first in 0..map.len() {
        if map[first] < threshold || labels[first] != 0 {
            continue;
        }
        let label = found.len() as u32 + 1;
        let mut region = Region { area: 0, right: 0 };
        labels[first] = label;
        open.push(first);
        while let Some(at) = open.pop() {
            region.area += 1;
            region.right += u32::from(nerve[at]);
            let (y, x) = (at / width, at % width);
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    let next = y * width + x;
                    if map[next] >= threshold && labels[next] == 0 {
                        labels[next] = label;
                        open.push(next);
                    }
                }
            }
        }
        found.push(region);
    }
    (labels, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonal_neighbours_are_one_region() {
        #[rustfmt::skip]
        let map = [
            9, 0, 0, 0, 9,
            0, 9, 0, 0, 9,
            0, 0, 5, 0, 0,
            9, 0, 0, 0, 0,
        ];
        let mut nerve = [0; 20];
        nerve[6] = 1;
        nerve[4] = 1;
        let (labels, found) = regions(&map, &nerve, 5, 9);
        let region = |area, right| Region { area, right };
        assert_eq!(found, [region(2, 1), region(2, 1), region(1, 0)]);
        assert_eq!((labels[0], labels[6], labels[9], labels[12]), (1, 1, 2, 0));
        assert_eq!(regions(&map, &nerve, 5, 5).1[0].area, 3);
    }
}

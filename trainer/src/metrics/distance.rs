//! Exact Euclidean distances on a grid.

/// A point of the grid: column and row.
pub type Place = (usize, usize);

/// Squared distance of every point of a grid of `width` x `height` points, row by row, from the
/// nearest of `seeds`, which must not be empty. Linear in the points, in integers (Meijster,
/// Roerdink and Hesselink 2000).
pub fn squared(seeds: impl IntoIterator<Item = Place>, width: usize, height: usize) -> Vec<i64> {
    // Farther than any point is from a seed.
    let far = (width + height) as i64;
    let mut grid = vec![far; width * height];
    for (x, y) in seeds {
        grid[y * width + x] = 0;
    }
    // Within each column first.
    for y in 1..height {
        for x in 0..width {
            grid[y * width + x] = grid[y * width + x].min(grid[(y - 1) * width + x] + 1).min(far);
        }
    }
    for y in (1..height).rev() {
        for x in 0..width {
            grid[(y - 1) * width + x] = grid[(y - 1) * width + x].min(grid[y * width + x] + 1);
        }
    }
    let mut envelope = Vec::with_capacity(width);
    for row in grid.chunks_exact_mut(width) {
        along(row, &mut envelope);
    }
    grid
}

/// Columns' distances of one row to squared distances: the lower envelope of their parabolas.
/// `envelope` holds each parabola's column, its height there and where it begins to be the lowest.
fn along(row: &mut [i64], envelope: &mut Vec<(i64, i64, i64)>) {
    let value = |(column, height, _): (i64, i64, i64), x: i64| (x - column).pow(2) + height;
    envelope.clear();
    for (x, distance) in (0i64..).zip(&*row) {
        let height = distance * distance;
        let mut begin = 0;
        while let Some(&last) = envelope.last() {
            if value(last, last.2) > value((x, height, 0), last.2) {
                envelope.pop();
                continue;
            }
            let (column, low, _) = last;
            begin = (x * x - column * column + height - low).div_euclid(2 * (x - column)) + 1;
            break;
        }
        if begin < row.len() as i64 {
            envelope.push((x, height, begin));
        }
    }
    for (x, squared) in row.iter_mut().enumerate().rev() {
        let x = x as i64;
        while envelope.len() > 1 && envelope.last().is_some_and(|last| last.2 > x) {
            envelope.pop();
        }
        if let Some(&lowest) = envelope.last() {
            *squared = value(lowest, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::Rng;

    #[test]
    fn brute_force_agrees() {
        let mut rng = Rng::new(&[5]);
        for _ in 0..200 {
            let (width, height) = (1 + rng.below(30), 1 + rng.below(30));
            let seeds: Vec<Place> =
                (0..1 + rng.below(12)).map(|_| (rng.below(width), rng.below(height))).collect();
            let grid = squared(seeds.iter().copied(), width, height);
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let away = |&(u, v): &Place| (x.abs_diff(u).pow(2) + y.abs_diff(v).pow(2)) as i64;
                let nearest = seeds.iter().map(away).min();
                assert_eq!(Some(grid[y * width + x]), nearest, "{width}x{height} {seeds:?} at {x},{y}");
            }
        }
    }
}

//! A screen whose parts change as a scanner's do.

use super::*;

const STEP: usize = 16;
const COLUMNS: usize = 120;
const ROWS: usize = 68;
const LINEAR: [usize; 4] = [672, 320, 592, 432];

/// A grid of frames and a clock.
struct Bench {
    finder: SectorFinder,
    grids: [Vec<u8>; 2],
    n: u64,
    random: u32,
}

impl Bench {
    fn new() -> Self {
        let grids = [vec![0; COLUMNS * ROWS], vec![0; COLUMNS * ROWS]];
        let grid = Grid { step: STEP, columns: COLUMNS, rows: ROWS, fresh: &grids[0], last: &grids[1] };
        Self { finder: SectorFinder::new(&grid), n: 0, random: 1, grids }
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random >> 16
    }

    /// `seconds` at 30 frames/s; in every frame each rectangle's points change with its probability in percent. Returns
    /// what was found, and after how many seconds.
    fn run(&mut self, seconds: u64, parts: &[([usize; 4], u32)]) -> Vec<(u64, Sector)> {
        let mut found = vec![];
        for frame in 0..seconds * 30 {
            self.grids.swap(0, 1);
            self.grids[0] = self.grids[1].clone();
            for ([x, y, width, height], percent) in parts {
                for row in y.div_ceil(STEP)..(y + height).div_ceil(STEP) {
                    for col in x.div_ceil(STEP)..(x + width).div_ceil(STEP) {
                        if self.random() % 100 < *percent {
                            self.grids[0][row * COLUMNS + col] ^= 64;
                        }
                    }
                }
            }
            self.n += 1;
            let [fresh, last] = &self.grids;
            let grid = Grid { step: STEP, columns: COLUMNS, rows: ROWS, fresh, last };
            let sector = self.finder.look(Duration::from_millis(self.n * 1000 / 30), &grid);
            found.extend(sector.map(|sector| (frame / 30, sector)));
        }
        found
    }
}

fn assert_at(sector: Sector, [x, y, width, height]: [usize; 4]) {
    let edges = [sector.x, sector.y, sector.x + sector.width, sector.y + sector.height];
    for (found, is) in edges.into_iter().zip([x, y, x + width, y + height]) {
        assert!(found.abs_diff(is) <= STEP, "{sector:?} for {x} {y} {width} {height}");
    }
}

#[test]
fn the_largest_area_that_keeps_changing_is_found_and_held() {
    let mut bench = Bench::new();
    let (clock, doppler) = ([1700, 16, 160, 32], [64, 800, 200, 200]);
    let parts = [(LINEAR, 50), (clock, 3), (doppler, 60)];
    let found = bench.run(20, &parts);
    let [(after, sector)] = found[..] else { panic!("{found:?}") };
    assert!(after <= 3, "after {after} s");
    assert_at(sector, LINEAR);
}

#[test]
fn neither_a_freeze_nor_small_changes_nor_a_lost_contact_move_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(5, &[(LINEAR, 50)]).len(), 1);
    let half = [672, 320, 296, 432];
    let menu = [100, 100, 400, 500];
    for parts in [
        &[][..],
        &[([1700, 16, 160, 32], 20)],
        &[(menu, 2)],
        &[(LINEAR, 50), (menu, 3)],
        &[([64, 800, 100, 100], 90)],
    ] {
        assert_eq!(bench.run(20, parts), [], "{parts:?}");
    }
    assert_eq!(bench.run(10, &[(half, 50)]), [], "a probe that has half lost its contact");
    assert_eq!(bench.run(5, &[(LINEAR, 50)]), []);
}

#[test]
fn it_moves_when_the_layout_changes_for_good() {
    let mut bench = Bench::new();
    bench.run(5, &[(LINEAR, 50)]);
    let other = [128, 160, 1200, 848];
    let found = bench.run(10, &[(other, 50)]);
    let [(after, sector)] = found[..] else { panic!("{found:?}") };
    assert!((3..6).contains(&after), "after {after} s");
    assert_at(sector, other);
    // A picture in another's place that has gone is found more slowly.
    let found = bench.run(20, &[(LINEAR, 50)]);
    let [(after, sector)] = found[..] else { panic!("{found:?}") };
    assert!((13..18).contains(&after), "after {after} s");
    assert_at(sector, LINEAR);
}

#[test]
fn a_picture_with_dark_parts_is_one() {
    let mut bench = Bench::new();
    // Columns of tissue with shadows between them.
    let parts: Vec<_> = (0..8).map(|n| ([672 + 74 * n, 320, 40, 432], 40)).collect();
    let found = bench.run(6, &parts);
    assert_at(found[0].1, [672, 320, 558, 432]);
}

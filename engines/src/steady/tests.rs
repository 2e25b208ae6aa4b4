//! Maps of a scene that moves, appears and goes.

use super::*;
use crate::contract::PIXELS;

/// A picture of smooth noise, moved by `dx`, `dy`.
fn crop(dx: isize, dy: isize, seed: u32) -> Box<Plane> {
    const GRAIN: isize = 12;
    let level = |column: isize, row: isize| {
        let mut hash = (column as u32).wrapping_mul(0x9e37_79b9)
            ^ (row as u32).wrapping_mul(0x85eb_ca6b)
            ^ seed.wrapping_mul(0xc2b2_ae35);
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
        ((hash ^ (hash >> 12)) & 0xff) as f32
    };
    let mut crop = plane();
    for (i, pixel) in crop.iter_mut().enumerate() {
        let (x, y) = ((i % WIDTH) as isize - dx, (i / WIDTH) as isize - dy);
        let (column, row) = (x.div_euclid(GRAIN), y.div_euclid(GRAIN));
        let part = |at: isize| at.rem_euclid(GRAIN) as f32 / GRAIN as f32;
        let across = |row: isize| level(column, row) * (1.0 - part(x)) + level(column + 1, row) * part(x);
        *pixel = (across(row) * (1.0 - part(y)) + across(row + 1) * part(y)) as u8;
    }
    crop
}

/// A square nerve with its corner at `x`, `y`.
fn map(x: usize, y: usize) -> Box<Plane> {
    let mut map = plane();
    (y..y + 80).for_each(|row| map[row * WIDTH + x..][..100].fill(200));
    map
}

fn area(map: &Plane) -> usize {
    map.iter().filter(|&&p| p >= 128).count()
}

const AT_30: f32 = 1.0 / 30.0;

#[test]
fn the_first_map_and_one_after_a_change_of_scene_pass_unchanged() {
    let mut steady = Steady::default();
    for _ in 0..2 {
        let mut first = map(100, 100);
        steady.apply(&crop(0, 0, 1), &mut first, AT_30);
        assert!(first == map(100, 100));
        steady.forget();
    }
    steady.apply(&crop(0, 0, 1), &mut map(100, 100), AT_30);
    let mut late = map(300, 100);
    steady.apply(&crop(0, 0, 1), &mut late, 1.0);
    assert!(late == map(300, 100), "a second later nothing of the first is left");
}

#[test]
fn a_map_that_misses_the_nerve_once_does_not_make_it_vanish() {
    let (mut steady, still) = (Steady::default(), crop(0, 0, 1));
    for _ in 0..10 {
        steady.apply(&still, &mut map(100, 100), AT_30);
    }
    let mut missed = plane();
    steady.apply(&still, &mut missed, AT_30);
    assert_eq!(missed[140 * WIDTH + 150], 166, "0.83 of 200");
}

#[test]
fn the_nerve_moves_along_with_the_tissue() {
    // Two to the right and one down each time: faster than any hand in a clip. A pixel of lag in both directions would be 0.978.
    let mut steady = Steady::default();
    for n in 0..20usize {
        let mut moved = map(100 + 2 * n, 100 + n);
        let truth = moved.clone();
        steady.apply(&crop(2 * n as isize, n as isize, 1), &mut moved, AT_30);
        let dice = crate::contract::dice(&moved[..], &truth[..], 128);
        assert!(dice > 0.97, "map {n}: {dice}");
    }
}

#[test]
fn another_picture_is_shown_with_its_own_map() {
    let mut steady = Steady::default();
    for _ in 0..5 {
        steady.apply(&crop(0, 0, 1), &mut map(100, 100), AT_30);
    }
    let mut empty = plane();
    steady.apply(&crop(0, 0, 5), &mut empty, AT_30);
    assert_eq!(area(&empty), 0, "the nerve has gone with the picture");
}

#[test]
fn any_crop_and_map_will_do() {
    let mut steady = Steady::default();
    let mut noise = 1u32;
    let mut random = move || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    };
    for since in [0.0, -1.0, f32::NAN, f32::INFINITY, 0.2] {
        let mut crop = plane();
        crop.iter_mut().for_each(|pixel| *pixel = random());
        let mut map = crop.clone();
        steady.apply(&crop, &mut map, since);
        assert_eq!(map.len(), PIXELS);
    }
    for level in [0, 255] {
        let mut flat = plane();
        flat.fill(level);
        let mut map = flat.clone();
        steady.apply(&flat, &mut map, AT_30);
    }
}

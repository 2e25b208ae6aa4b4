//! What is wrong with a data set, from its frames and its scan; the page shows it.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::file::{Match, Scan};
use super::grey::Grey;
use super::groups::groups;
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH, NERVE, Recorded};

/// A nerve of fewer pixels is a slip of the pen: a hundredth of the usual area.
const SMALL: usize = 60;

/// Pairs under one limit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub limit: u32,
    pub pairs: usize,
    /// The masks are not the same.
    pub differing: usize,
    /// One frame has a nerve, the other none.
    pub contradicting: usize,
    /// Of two patients.
    pub crossing: usize,
    /// Groups of frames that these pairs link, and frames in them.
    pub groups: usize,
    pub frames: usize,
}

/// Frames of one patient.
#[derive(Debug, Default)]
pub struct Patient {
    /// Places in the data set.
    pub frames: Vec<usize>,
    /// Frames with a nerve.
    pub nerve: usize,
    /// Pixels of nerve, summed over frames.
    pub area: usize,
}

/// All that the page shows.
#[derive(Debug)]
pub struct Findings {
    pub counts: Vec<Count>,
    /// Frames linked by pairs under the limit of duplicates, the most contradictory first.
    pub groups: Vec<Vec<u32>>,
    /// Other pairs whose masks differ, the most different first.
    pub near: Vec<Match>,
    /// Pairs of two patients, the most alike first.
    pub crossing: Vec<Match>,
    pub patients: BTreeMap<u32, Patient>,
    /// Nerve in each frame, in pixels.
    pub areas: Vec<usize>,
    /// How often each pixel is nerve in frames that have one, and the mean frame.
    pub often: Vec<f32>,
    pub mean: Vec<u8>,
    /// Grey levels of each frame.
    pub greys: Vec<Grey>,
    /// Usable, yet odd.
    pub odd: Vec<String>,
}

impl Findings {
    /// Of `data` and its `scan`; frames less than `duplicates` apart form groups.
    pub fn of(data: &Recorded, scan: &Scan, duplicates: u32) -> Self {
        let areas: Vec<usize> = data.frames.iter().map(|frame| frame.area()).collect();
        let greys: Vec<Grey> = data.frames.par_iter().map(|frame| Grey::of(data.luma(frame))).collect();
        let patient = |i: u32| data.frames[i as usize].patient;
        let crosses = |m: &Match| patient(m.pair.a) != patient(m.pair.b);
        let mut limits = vec![100, 1000, duplicates, scan.limit];
        limits.retain(|&limit| limit <= scan.limit);
        limits.sort_unstable();
        limits.dedup();
        let count = |limit| {
            let pairs: Vec<&Match> = scan.matches.iter().filter(|m| m.pair.sad < limit).collect();
            let groups = linked(data, scan, limit);
            let nerve = |i: u32| areas[i as usize] > 0;
            Count {
                limit,
                pairs: pairs.len(),
                differing: pairs.iter().filter(|m| m.mask_sad > 0).count(),
                contradicting: pairs.iter().filter(|m| nerve(m.pair.a) != nerve(m.pair.b)).count(),
                crossing: pairs.iter().filter(|m| crosses(m)).count(),
                groups: groups.len(),
                frames: groups.iter().map(Vec::len).sum(),
            }
        };
        let mut near: Vec<Match> =
            scan.matches.iter().copied().filter(|m| m.pair.sad >= duplicates && m.mask_sad > 0).collect();
        near.sort_by_key(|m| (std::cmp::Reverse(m.mask_sad), m.pair));
        let mut crossing: Vec<Match> = scan.matches.iter().copied().filter(crosses).collect();
        crossing.sort_by_key(|m| (m.pair.sad, m.pair));
        let mut groups = linked(data, scan, duplicates);
        worst_first(data, scan, duplicates, &mut groups);
        Self {
            counts: limits.into_iter().map(count).collect(),
            groups,
            near,
            crossing,
            patients: patients(data, &areas),
            often: often(data),
            mean: mean(data),
            odd: odd(data, &areas, &greys),
            areas,
            greys,
        }
    }

    /// Frames with a nerve.
    pub fn nerves(&self) -> usize {
        self.areas.iter().filter(|area| **area > 0).count()
    }
}

/// Sorts groups of frames linked by pairs under `limit`: those that contradict themselves most first,
/// they need a person.
pub fn worst_first(data: &Recorded, scan: &Scan, limit: u32, groups: &mut [Vec<u32>]) {
    let mut worst = vec![0; data.frames.len()];
    for m in scan.matches.iter().filter(|m| m.pair.sad < limit) {
        for i in [m.pair.a, m.pair.b] {
            worst[i as usize] = m.mask_sad.max(worst[i as usize]);
        }
    }
    groups.sort_by_cached_key(|group| {
        let nerves: BTreeSet<bool> = group.iter().map(|&i| data.frames[i as usize].area() > 0).collect();
        let worst = group.iter().map(|&i| worst[i as usize]).max();
        std::cmp::Reverse((nerves.len(), worst))
    });
}

fn linked(data: &Recorded, scan: &Scan, limit: u32) -> Vec<Vec<u32>> {
    let pairs = scan.matches.iter().map(|m| m.pair).filter(|pair| pair.sad < limit);
    groups(data.frames.len(), pairs.map(|pair| (pair.a, pair.b)))
}

fn patients(data: &Recorded, areas: &[usize]) -> BTreeMap<u32, Patient> {
    let mut patients = BTreeMap::<u32, Patient>::new();
    for (i, (frame, &area)) in data.frames.iter().zip(areas).enumerate() {
        let patient = patients.entry(frame.patient).or_default();
        patient.frames.push(i);
        patient.nerve += usize::from(area > 0);
        patient.area += area;
    }
    patients
}

fn often(data: &Recorded) -> Vec<f32> {
    let mut counts = vec![0f32; FRAME_WIDTH * FRAME_HEIGHT];
    let mut nerves = 0f32;
    for frame in &data.frames {
        let mut any = false;
        for (_, range) in frame.mask.iter().filter(|(value, _)| *value >= NERVE) {
            counts[range].iter_mut().for_each(|count| *count += 1.0);
            any = true;
        }
        nerves += f32::from(u8::from(any));
    }
    counts.iter_mut().for_each(|count| *count /= nerves.max(1.0));
    counts
}

fn mean(data: &Recorded) -> Vec<u8> {
    let mut sums = vec![0u32; FRAME_WIDTH * FRAME_HEIGHT];
    for frame in &data.frames {
        for (sum, &pixel) in sums.iter_mut().zip(data.luma(frame)) {
            *sum += u32::from(pixel);
        }
    }
    sums.iter().map(|sum| (sum / data.frames.len().max(1) as u32) as u8).collect()
}

fn odd(data: &Recorded, areas: &[usize], greys: &[Grey]) -> Vec<String> {
    let mut odd = vec![];
    for ((frame, &area), grey) in data.frames.iter().zip(areas).zip(greys) {
        let name = &frame.name;
        if grey.is_flat() {
            odd.push(format!("{name}: every pixel is {:.0}; a frame without signal", grey.mean()));
        }
        let between: usize =
            frame.mask.iter().filter(|(v, _)| ![0, 255].contains(v)).map(|(_, range)| range.len()).sum();
        if between > 0 {
            odd.push(format!(
                "{name}_mask: {between} pixels are neither 0 nor 255; nerve is taken to begin at {NERVE}"
            ));
        }
        if (1..SMALL).contains(&area) {
            odd.push(format!("{name}_mask: only {area} pixels of nerve; a slip of the pen?"));
        }
    }
    odd
}

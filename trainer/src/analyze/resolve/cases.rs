//! Groups of nearly equal frames that need a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use crate::analyze::file::Scan;
use crate::analyze::findings::worst_first;
use crate::analyze::groups::groups;
use crate::data::{Corrections, Decision, Recorded, Subject};

/// Frames of one picture whose masks differ, or that were decided on.
#[derive(Debug, Clone)]
pub struct Case {
    /// Places in the data set.
    pub frames: Vec<u32>,
    /// What they are known by, in the same order; nothing kept or dropped.
    pub subjects: Vec<Subject>,
    /// Of each frame which of the distinct masks it has, from 0 in order of appearance.
    pub masks: Vec<usize>,
    /// The largest known difference of two frames.
    pub apart: u32,
    /// The largest known difference of two masks, in pixels.
    pub masks_apart: u32,
    /// What was decided, about exactly these frames and in their order.
    pub decision: Option<Decision>,
    /// Decisions about some of them, made before others came to the group. They stand until there is
    /// a new one.
    pub former: Vec<Decision>,
}

impl Case {
    /// `31_52, 31_71`
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
        names.join(", ")
    }
}

/// The corrections in `path`, if it is there.
pub fn load(path: &Path) -> Result<Option<Corrections>> {
    Ok(if path.exists() { Some(Corrections::load(path)?) } else { None })
}

/// Cases among the pairs of `scan`, those that contradict themselves most first, and decisions of
/// `before` that cannot be about `data` as it is.
pub fn find(data: &Recorded, scan: &Scan, before: Option<&Corrections>) -> (Vec<Case>, Vec<Decision>) {
    let subjects = data.subjects();
    let (mut links, mut known, mut stale) = (vec![], BTreeMap::<u32, Vec<Decision>>::new(), vec![]);
    let places = before.map(|before| before.places(&subjects)).unwrap_or_default();
    for (decision, places) in before.iter().flat_map(|before| &before.decisions).zip(places) {
        let frames: Option<Vec<u32>> =
            places.named.iter().map(|place| place.map(|place| place as u32)).collect();
        let Some(frames) = frames.filter(|frames| !frames.is_empty()) else {
            stale.push(decision.clone());
            continue;
        };
        // Frames that were decided on together stay together, whatever the threshold is now.
        links.extend(frames.windows(2).map(|two| (two[0], two[1])));
        known.entry(frames[0]).or_default().push(reordered(decision, &frames));
    }
    let pairs = scan.matches.iter().map(|m| (m.pair.a, m.pair.b)).chain(links);
    let mut groups = groups(data.frames.len(), pairs);
    worst_first(data, scan, scan.limit, &mut groups);
    let mut cases: Vec<Case> =
        groups.into_iter().filter_map(|frames| case(&subjects, scan, frames, &mut known)).collect();
    // What is left is about single frames: nothing that the page writes, but an editor may.
    let single: Vec<u32> = known.keys().copied().collect();
    cases.extend(single.into_iter().filter_map(|frame| case(&subjects, scan, vec![frame], &mut known)));
    (cases, stale)
}

/// A decision with its frames in the order of the data set, named as there.
fn reordered(decision: &Decision, frames: &[u32]) -> Decision {
    let mut order: Vec<usize> = (0..frames.len()).collect();
    order.sort_by_key(|&i| frames[i]);
    Decision { frame: order.into_iter().map(|i| decision.frame[i].clone()).collect(), ..decision.clone() }
}

fn case(
    subjects: &[Subject],
    scan: &Scan,
    frames: Vec<u32>,
    known: &mut BTreeMap<u32, Vec<Decision>>,
) -> Option<Case> {
    let subjects: Vec<Subject> = frames.iter().map(|&i| subjects[i as usize].clone()).collect();
    let mut distinct = vec![];
    let masks: Vec<usize> = subjects
        .iter()
        .map(|subject| {
            distinct.iter().position(|mask| *mask == &subject.mask).unwrap_or_else(|| {
                distinct.push(&subject.mask);
                distinct.len() - 1
            })
        })
        .collect();
    let distinct = distinct.len();
    let mut former: Vec<Decision> = frames.iter().filter_map(|frame| known.remove(frame)).flatten().collect();
    if distinct < 2 && former.is_empty() {
        return None;
    }
    let is_whole = |decision: &Decision| decision.frame.len() == frames.len();
    let mut decision = if former.len() == 1 && is_whole(&former[0]) { former.pop() } else { None };
    if let Some(decision) = &mut decision {
        // Names may be others by now.
        for (of, subject) in decision.frame.iter_mut().zip(&subjects) {
            of.name.clone_from(&subject.name);
        }
    }
    let set: BTreeSet<u32> = frames.iter().copied().collect();
    let within = |m: &&crate::analyze::file::Match| set.contains(&m.pair.a) && set.contains(&m.pair.b);
    let (mut apart, mut masks_apart) = (0, 0);
    for m in scan.matches.iter().filter(within) {
        apart = apart.max(m.pair.sad);
        masks_apart = masks_apart.max(m.mask_sad.div_ceil(255));
    }
    Some(Case { frames, subjects, masks, apart, masks_apart, decision, former })
}

//! Samples of frames: evenly spaced, or spread over patients.

use std::collections::BTreeMap;

use super::frame::Frame;

/// `count` of `frames`, as many of each patient as of any other while they last, evenly spaced.
pub fn spread_over_patients<'a>(frames: &[&'a Frame], count: usize) -> Vec<&'a Frame> {
    let mut patients = BTreeMap::<u32, Vec<&'a Frame>>::new();
    for frame in frames {
        patients.entry(frame.patient).or_default().push(frame);
    }
    let mut chosen = Vec::new();
    let mut left = count.min(frames.len());
    // Those with the fewest frames first: what they lack the others give.
    let mut patients: Vec<_> = patients.into_values().collect();
    patients.sort_by_key(Vec::len);
    for (i, frames) in patients.iter().enumerate() {
        let others = patients.len() - i;
        let share = left.div_ceil(others).min(frames.len());
        chosen.extend((0..share).map(|k| frames[k * frames.len() / share]));
        left -= share;
    }
    chosen
}

/// `count` of `frames`, evenly spaced.
pub fn evenly_spaced<'a>(frames: &[&'a Frame], count: usize) -> Vec<&'a Frame> {
    let count = count.clamp(1, frames.len().max(1));
    (0..count).filter_map(|i| frames.get(i * frames.len() / count).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(of: &[(u32, usize)]) -> Vec<Frame> {
        let names = of.iter().flat_map(|(patient, count)| (0..*count).map(move |i| (*patient, i)));
        let frame = |(patient, i): (u32, usize)| Frame {
            name: format!("{patient}_{i}"),
            patient,
            luma: Box::default(),
            nerve: Box::default(),
        };
        names.map(frame).collect()
    }

    #[test]
    fn patients_give_as_many_frames_as_they_can() {
        let frames = frames(&[(1, 10), (2, 1), (3, 4)]);
        let frames: Vec<&Frame> = frames.iter().collect();
        let count = |n: usize| {
            let chosen = spread_over_patients(&frames, n);
            [1, 2, 3].map(|patient| chosen.iter().filter(|f| f.patient == patient).count())
        };
        assert_eq!(count(3), [1, 1, 1]);
        assert_eq!(count(7), [3, 1, 3]);
        assert_eq!(count(99), [10, 1, 4]);
        let names: Vec<_> = spread_over_patients(&frames, 5).iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["2_0", "3_0", "3_2", "1_0", "1_5"]);
        assert!(spread_over_patients(&[], 5).is_empty());
    }

    #[test]
    fn samples_are_spread_and_never_more_than_there_are() {
        let frames: Vec<Frame> = (0..10)
            .map(|i| Frame { name: i.to_string(), patient: 1, luma: Box::default(), nerve: Box::default() })
            .collect();
        let frames: Vec<&Frame> = frames.iter().collect();
        let names = |count| evenly_spaced(&frames, count).iter().map(|f| f.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(2), ["0", "5"]);
        assert_eq!(names(99).len(), 10);
    }
}

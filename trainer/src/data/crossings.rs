//! Whether anything crosses the folds of a split: a patient, or a near-duplicate.

use std::collections::BTreeMap;

use super::dataset::Dataset;
use super::similar::below;
use super::split::{Split, SplitError};
use crate::util;

/// Frames that differ by less are one picture to a network: the sum of absolute differences of two
/// crops, 0 to 61,102,080.
pub const NEAR: u32 = 100_000;
/// Frames of each fold, as a table.
pub fn table(split: &Split, data: &Dataset) -> Result<String, SplitError> {
    let fold_of = split.fold_of()?;
    let mut table = util::table(["fold", "frames", "nerve", "patients"]);
    for fold in 1..=split.folds.len() {
        let frames: Vec<_> =
            data.frames.iter().filter(|f| fold_of.get(f.name.as_str()) == Some(&fold)).collect();
        let nerve = frames.iter().filter(|f| f.has_nerve()).count();
        let mut patients: Vec<_> = frames.iter().map(|f| f.patient).collect();
        patients.dedup();
        table.add_row([fold, frames.len(), nerve, patients.len()]);
    }
    Ok(util::lines(&table))
}

/// What is in more than one fold: patients, and pairs of frames less than `threshold` apart.
pub fn crossings(split: &Split, data: &Dataset, threshold: u32) -> Result<Vec<String>, SplitError> {
    let fold_of = split.fold_of()?;
    let mut found = vec![];
    for frame in data.frames.iter().filter(|f| !fold_of.contains_key(f.name.as_str())) {
        found.push(format!("frame {} is in no fold: the data are others, or have grown", frame.name));
    }
    let fold = |name: &str| fold_of.get(name).copied();
    let mut patients = BTreeMap::<u32, Vec<usize>>::new();
    for frame in &data.frames {
        patients.entry(frame.patient).or_default().extend(fold(&frame.name));
    }
    for (patient, mut folds) in patients {
        folds.sort_unstable();
        folds.dedup();
        if folds.len() > 1 {
            found.push(format!("patient {patient} is in folds {folds:?}"));
        }
    }
    let luma: Vec<&[u8]> = data.frames.iter().map(|f| &f.luma[..]).collect();
    for pair in below(&luma, data.width, threshold) {
        let [a, b] = [pair.a, pair.b].map(|i| data.frames[i as usize].name.as_str());
        if let (Some(x), Some(y)) = (fold(a), fold(b))
            && x != y
        {
            found.push(format!("frames {a} (fold {x}) and {b} (fold {y}) differ by {} only", pair.sad));
        }
    }
    Ok(found)
}

/// How far a run's figures can be trusted, in one line for its log; none when nothing crosses.
pub fn warning(split: &Split, data: &Dataset) -> Result<Option<String>, SplitError> {
    let crossings = crossings(split, data, NEAR)?;
    let Some(first) = crossings.first() else {
        return Ok(None);
    };
    Ok(Some(format!(
        "LEAKY: {} crossings between folds, so the figures flatter: {first}{}. \
         `nervelight-train check-split` lists them",
        crossings.len(),
        if crossings.len() > 1 { ", ..." } else { "" }
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Frame, SplitBy};
    use crate::util::Rng;

    fn data() -> Dataset {
        let frame = |patient: u32, n: u64| {
            let mut rng = Rng::new(&[u64::from(patient), n]);
            Frame {
                name: format!("{patient}_{n}"),
                patient,
                luma: (0..64 * 32).map(|_| rng.next() as u8).collect(),
                nerve: vec![u8::from(n.is_multiple_of(2)); 64 * 32].into(),
            }
        };
        let frames = (0..6).flat_map(|p| (0..4).map(move |n| frame(p, n))).collect();
        Dataset { frames, height: 32, width: 64, digest: "d".into(), corrections: None }
    }

    #[test]
    fn clean_folds_have_no_crossing() {
        let data = data();
        let split = Split::draw(&data, SplitBy::Patient, 3, 1).unwrap();
        assert_eq!(crossings(&split, &data, 5000).unwrap(), Vec::<String>::new());
        assert!(warning(&split, &data).unwrap().is_none());
    }

    #[test]
    fn a_patient_in_two_folds_is_named() {
        let data = data();
        let mut split = Split::draw(&data, SplitBy::Patient, 3, 1).unwrap();
        let moved = split.folds[0].pop().unwrap();
        split.folds[1].push(moved.clone());
        let found = crossings(&split, &data, 5000).unwrap();
        let patient = moved.split_once('_').unwrap().0;
        assert_eq!(found, [format!("patient {patient} is in folds [1, 2]")]);
        split.folds[1].pop();
        let found = crossings(&split, &data, 5000).unwrap();
        assert!(found.len() == 1 && found[0].contains(&moved) && found[0].contains("no fold"), "{found:?}");
        let more = [split.folds[0].pop().unwrap(), split.folds[2].pop().unwrap()];
        let found = crossings(&split, &data, 5000).unwrap();
        for name in more {
            assert!(
                found.iter().any(|line| line.contains(&format!("frame {name} is in no fold"))),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_near_duplicate_of_another_patient_is_named() {
        let mut data = data();
        let split = Split::draw(&data, SplitBy::Patient, 3, 1).unwrap();
        let at = |name: &String| data.frames.iter().position(|f| f.name == *name).unwrap();
        let (a, b) = (at(&split.folds[0][0]), at(&split.folds[2][1]));
        data.frames[b].luma = data.frames[a].luma.clone();
        data.frames[b].luma[7] ^= 3;
        let found = crossings(&split, &data, 5000).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        for name in [&data.frames[a].name, &data.frames[b].name] {
            assert!(found[0].contains(name.as_str()), "{found:?}");
        }
        assert!(warning(&split, &data).unwrap().unwrap().starts_with("LEAKY: 1 crossings"));
    }
}

//! Splits: which frames train and which validate, in folds that the seed fixes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::frame::Frame;
use crate::util::{Rng, sha256};

/// What a fold consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// Whole patients: the figures hold for patients never seen.
    Patient,
    /// Single frames, as published. Neighbouring frames of one patient look alike, so the figures
    /// flatter.
    Frame,
}

/// Frames in folds, one of which validates: `split.json` of a run, or a file of `split`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Drawn how.
    pub by: SplitBy,
    /// Drawn with.
    pub seed: u64,
    /// Digest of the data set it belongs to.
    pub data: String,
    /// The fold that validates, from 1; the others train.
    pub fold: usize,
    /// Frames without nerve take no part.
    pub positives_only: bool,
    /// Names of the frames of each fold.
    pub folds: Vec<Vec<String>>,
}

/// The file: a split under its digest.
#[derive(Serialize, Deserialize)]
struct Signed {
    digest: String,
    #[serde(flatten)]
    split: Split,
}

/// Why there is no split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error(
        "{found} patients (first: {first}) cannot fill {folds} folds; add patients, lower `folds`, or \
         set split = \"frame\", whose figures flatter"
    )]
    FewPatients { found: usize, first: u32, folds: usize },
    #[error("{found} frames cannot fill {folds} folds; add frames or lower `folds`")]
    FewFrames { found: usize, folds: usize },
    #[error("fold {fold} has no frame to {what}{}; use other folds", if *.positives { " with a nerve" } else { "" })]
    EmptyPart { fold: usize, what: &'static str, positives: bool },
    #[error("there is no fold {fold}: the split has folds 1 to {folds}")]
    NoFold { fold: usize, folds: usize },
    #[error("the split belongs to other data (frame {0} is not here); start a new run, or draw a new split")]
    OtherData(String),
    #[error("frame {0} stands in two folds; correct the file, or draw a new split")]
    Twice(String),
    #[error("{path}: is no split: {cause}")]
    File { path: PathBuf, cause: String },
}

impl Split {
    /// Draws `folds` folds of about equally many frames with and without nerve. Fold 1 validates.
    pub fn draw(data: &Dataset, by: SplitBy, folds: usize, seed: u64) -> Result<Self, SplitError> {
        let mut rng = Rng::new(&[seed, 0x5b11]);
        let of = match by {
            SplitBy::Patient => deal_patients(data, folds, &mut rng)?,
            SplitBy::Frame => deal_frames(data, folds, &mut rng)?,
        };
        let mut names = vec![vec![]; folds];
        for (frame, fold) in data.frames.iter().zip(of) {
            names[fold].push(frame.name.clone());
        }
        Ok(Self { by, seed, data: data.digest.clone(), fold: 1, positives_only: false, folds: names })
    }

    /// The frames that train and those that validate, in the order of `data`.
    pub fn frames<'a>(&self, data: &'a Dataset) -> Result<(Vec<&'a Frame>, Vec<&'a Frame>), SplitError> {
        let Self { fold, positives_only, .. } = *self;
        let held: HashMap<&str, usize> = self.fold_of()?;
        let here: BTreeSet<&str> = data.frames.iter().map(|f| f.name.as_str()).collect();
        if let Some(absent) = held.keys().find(|name| !here.contains(*name)) {
            return Err(SplitError::OtherData((*absent).to_owned()));
        }
        if fold == 0 || fold > self.folds.len() {
            return Err(SplitError::NoFold { fold, folds: self.folds.len() });
        }
        let usable = data.frames.iter().filter(|f| !positives_only || f.has_nerve());
        let known = usable.filter_map(|f| Some((held.get(f.name.as_str())?, f)));
        let (validation, train): (Vec<_>, Vec<_>) = known.partition(|(of, _)| **of == fold);
        let frames = |part: Vec<(&usize, &'a Frame)>| part.into_iter().map(|(_, f)| f).collect::<Vec<_>>();
        let (train, validation) = (frames(train), frames(validation));
        for (part, what) in [(&train, "train on"), (&validation, "validate by")] {
            if part.is_empty() {
                return Err(SplitError::EmptyPart { fold, what, positives: positives_only });
            }
        }
        Ok((train, validation))
    }

    /// Fold of each frame, from 1.
    pub fn fold_of(&self) -> Result<HashMap<&str, usize>, SplitError> {
        let mut held = HashMap::new();
        for (fold, names) in self.folds.iter().enumerate() {
            for name in names {
                if held.insert(name.as_str(), fold + 1).is_some() {
                    return Err(SplitError::Twice(name.clone()));
                }
            }
        }
        Ok(held)
    }

    /// SHA-256 of everything in it, in hex.
    pub fn digest(&self) -> String {
        // A structure of strings and numbers: writing it cannot fail.
        let text = serde_json::to_vec(self).unwrap_or_default();
        sha256(&text)
    }

    /// Writes it with its digest.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let signed = Signed { digest: self.digest(), split: self.clone() };
        atomic::write(path, Access::Umask, &serde_json::to_vec_pretty(&signed)?)
    }

    /// Reads a file of [`Self::save`]; one that was changed by hand is refused.
    pub fn load(path: &Path) -> Result<Self, SplitError> {
        let bad = |cause: String| SplitError::File { path: path.into(), cause };
        let text = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let Signed { digest, split } = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if digest != split.digest() {
            return Err(bad("its digest does not fit its contents; it was changed, draw it anew".into()));
        }
        split.fold_of()?;
        Ok(split)
    }
}

/// Frames of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Kept apart from training
    Validation,
    /// Trained on
    Train,
    /// Every one
    All,
}

/// The frames of `part`; without one the validation part where `data` is what `split` divides.
pub fn select<'a>(
    data: &'a Dataset,
    split: &Split,
    part: Option<Part>,
) -> Result<Vec<&'a Frame>, SplitError> {
    let own = split.data == data.digest;
    Ok(match part.unwrap_or(if own { Part::Validation } else { Part::All }) {
        Part::Validation => split.frames(data)?.1,
        Part::Train => split.frames(data)?.0,
        Part::All => data.frames.iter().collect(),
    })
}

/// Patients go, the largest first, where they even out frames with and without nerve best. Chance
/// orders patients of one size, and folds that need as much.
fn deal_patients(data: &Dataset, folds: usize, rng: &mut Rng) -> Result<Vec<usize>, SplitError> {
    let mut counts = BTreeMap::<u32, [usize; 2]>::new();
    for frame in &data.frames {
        counts.entry(frame.patient).or_default()[usize::from(frame.has_nerve())] += 1;
    }
    let first = counts.keys().next().copied().unwrap_or_default();
    if counts.len() < folds {
        return Err(SplitError::FewPatients { found: counts.len(), first, folds });
    }
    let all = counts.values().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    let mut patients: Vec<_> = counts.into_iter().collect();
    rng.shuffle(&mut patients);
    patients.sort_by_key(|(_, [none, nerve])| std::cmp::Reverse(none + nerve));
    let mut order: Vec<usize> = (0..folds).collect();
    rng.shuffle(&mut order);
    let mut held = vec![[0; 2]; folds];
    let mut of = BTreeMap::new();
    for (patient, count) in patients {
        // Squares of each fold's share: least when all have the same.
        let cost = |fold: usize| {
            let share = |have: usize, all: usize| if all == 0 { 0.0 } else { have as f64 / all as f64 };
            let more = |i: usize| {
                let (before, after) = (share(held[fold][i], all[i]), share(held[fold][i] + count[i], all[i]));
                after * after - before * before
            };
            more(0) + more(1)
        };
        // No fold stays empty, however large the patients are.
        let empty = order.iter().copied().find(|&fold| held[fold] == [0, 0]);
        let best = order.iter().copied().min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        let fold = empty.or(best).unwrap_or_default();
        held[fold] = [held[fold][0] + count[0], held[fold][1] + count[1]];
        of.insert(patient, fold);
    }
    Ok(data.frames.iter().map(|f| of[&f.patient]).collect())
}

/// Frames with nerve in turn, then those without.
fn deal_frames(data: &Dataset, folds: usize, rng: &mut Rng) -> Result<Vec<usize>, SplitError> {
    let found = data.frames.len();
    if found < folds {
        return Err(SplitError::FewFrames { found, folds });
    }
    let mut order: Vec<usize> = (0..found).collect();
    rng.shuffle(&mut order);
    order.sort_by_key(|&i| !data.frames[i].has_nerve());
    let mut of = vec![0; found];
    for (turn, i) in order.into_iter().enumerate() {
        of[i] = turn % folds;
    }
    Ok(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patient `p` has `frames[p]` frames; of those, every `p + 2`nd has no nerve.
    fn data(frames: &[usize]) -> Dataset {
        let frame = |patient: usize, n: usize| Frame {
            name: format!("{patient}_{n}"),
            patient: patient as u32,
            luma: Box::default(),
            nerve: Box::from([u8::from(!n.is_multiple_of(patient + 2))]),
        };
        let all = frames.iter().enumerate().flat_map(|(p, &count)| (0..count).map(move |n| frame(p, n)));
        Dataset { frames: all.collect(), height: 0, width: 0, digest: "d".into(), corrections: None }
    }

    fn patients_of(names: &[String]) -> BTreeSet<&str> {
        names.iter().filter_map(|n| n.split('_').next()).collect()
    }

    #[test]
    fn by_patient_never_crosses_and_is_even() {
        let data = data(&[30, 50, 20, 40, 60, 30, 30, 20, 45, 35, 40, 50]);
        for seed in 0..50 {
            let split = Split::draw(&data, SplitBy::Patient, 5, seed).unwrap();
            for (i, a) in split.folds.iter().enumerate() {
                // 450 frames in 5 folds.
                assert!((60..=120).contains(&a.len()), "seed {seed}: {}", a.len());
                for b in &split.folds[..i] {
                    assert!(patients_of(a).is_disjoint(&patients_of(b)), "{a:?} {b:?}");
                }
            }
            assert_eq!(split, Split::draw(&data, SplitBy::Patient, 5, seed).unwrap());
        }
    }

    #[test]
    fn every_frame_validates_in_one_fold() {
        let data = data(&[10, 12, 9, 14]);
        for by in [SplitBy::Patient, SplitBy::Frame] {
            let split = Split::draw(&data, by, 4, 1).unwrap();
            let mut seen = vec![];
            for fold in 1..=4 {
                let (train, validation) = Split { fold, ..split.clone() }.frames(&data).unwrap();
                assert_eq!(train.len() + validation.len(), 45);
                seen.extend(validation.iter().map(|f| f.name.clone()));
            }
            seen.sort();
            let mut all: Vec<_> = data.frames.iter().map(|f| f.name.clone()).collect();
            all.sort();
            assert_eq!(seen, all);
        }
    }

    #[test]
    fn by_frame_folds_have_the_same_share_of_nerve() {
        let data = data(&[37, 50, 41]);
        let split = Split::draw(&data, SplitBy::Frame, 5, 3).unwrap();
        let with = |names: &[String]| {
            data.frames.iter().filter(|f| names.contains(&f.name) && f.has_nerve()).count()
        };
        let counts: Vec<_> = split.folds.iter().map(|names| with(names)).collect();
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }

    #[test]
    fn positives_only_leaves_out_after_the_draw() {
        let data = data(&[10, 12, 9, 14]);
        let split = Split { positives_only: true, ..Split::draw(&data, SplitBy::Frame, 3, 1).unwrap() };
        let (train, validation) = split.frames(&data).unwrap();
        assert!(train.iter().chain(&validation).all(|f| f.has_nerve()));
        assert_eq!(train.len() + validation.len(), data.frames.iter().filter(|f| f.has_nerve()).count());
    }

    #[test]
    fn impossible_splits_say_what_to_do() {
        let error = Split::draw(&data(&[30]), SplitBy::Patient, 5, 1).unwrap_err().to_string();
        assert!(error.contains("split = \"frame\"") && error.contains("1 patients"), "{error}");
        let error = Split::draw(&data(&[3]), SplitBy::Frame, 5, 1).unwrap_err().to_string();
        assert!(error.contains("3 frames"), "{error}");
        let mut empty = data(&[5, 5, 5]);
        empty.frames.iter_mut().for_each(|f| f.nerve.fill(0));
        let split = Split { positives_only: true, ..Split::draw(&empty, SplitBy::Patient, 3, 1).unwrap() };
        let error = split.frames(&empty).unwrap_err().to_string();
        assert!(error.contains("train on with a nerve"), "{error}");
        let error = Split { fold: 4, ..split }.frames(&empty).unwrap_err().to_string();
        assert!(error.contains("folds 1 to 3"), "{error}");
    }

    #[test]
    fn a_file_reads_back_and_a_changed_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("split.json");
        let split = Split::draw(&data(&[5, 6, 7]), SplitBy::Patient, 3, 1).unwrap();
        split.save(&path).unwrap();
        assert_eq!(Split::load(&path).unwrap(), split);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"1_0\"", "\"2_9\"")).unwrap();
        let error = Split::load(&path).unwrap_err().to_string();
        assert!(error.contains("split.json") && error.contains("digest"), "{error}");
        std::fs::write(&path, "{}").unwrap();
        assert!(Split::load(&path).unwrap_err().to_string().contains("is no split"));
    }

    #[test]
    fn frames_of_other_data_and_twins_are_noticed() {
        let split = Split::draw(&data(&[5, 5, 5]), SplitBy::Patient, 3, 1).unwrap();
        assert!(matches!(split.frames(&data(&[5, 5, 4])), Err(SplitError::OtherData(_))));
        let mut twins = split;
        let name = twins.folds[0][0].clone();
        twins.folds[1].push(name);
        assert!(matches!(twins.frames(&data(&[5, 5, 5])), Err(SplitError::Twice(_))));
    }
}

//! Which frames train and which validate, fixed by the seed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, Frame};
use crate::rng::Rng;

/// What is drawn for validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// Whole patients: the figures hold for patients never seen.
    Patient,
    /// Single frames, as published. Neighbouring frames of one patient look alike, so the figures
    /// flatter.
    Frame,
}

/// Names of the frames of each part, as in `split.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Drawn how.
    pub by: SplitBy,
    /// Drawn with.
    pub seed: u64,
    /// Digest of the data set it belongs to.
    pub data: String,
    /// Names of frames to learn from.
    pub train: Vec<String>,
    /// Names of frames to judge by.
    pub validation: Vec<String>,
}

/// Why there is no split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("all frames are of patient {0}, so none can be kept apart; set split = \"frame\"")]
    OnePatient(u32),
    #[error("a validation part of {0} leaves one part without frames; add frames or change it")]
    EmptyPart(f64),
    #[error("split.json belongs to other data (frame {0} is not here); start a new run")]
    OtherData(String),
}

impl Split {
    /// Draws about `part` (0..1) of the frames for validation. With `positives_only`, frames
    /// without nerve are dropped after the draw, as published.
    pub fn draw(
        data: &Dataset,
        by: SplitBy,
        part: f64,
        positives_only: bool,
        seed: u64,
    ) -> Result<Self, SplitError> {
        let mut rng = Rng::new(&[seed, 0x5b11]);
        let wanted = (data.frames.len() as f64 * part).floor() as usize;
        let validates = match by {
            SplitBy::Patient => draw_patients(data, wanted, &mut rng)?,
            SplitBy::Frame => draw_frames(data, wanted, &mut rng),
        };
        let names = |validation: bool| -> Vec<String> {
            data.frames
                .iter()
                .zip(&validates)
                .filter(|(f, v)| **v == validation && (!positives_only || f.has_nerve()))
                .map(|(f, _)| f.name.clone())
                .collect()
        };
        let (train, validation) = (names(false), names(true));
        if train.is_empty() || validation.is_empty() {
            return Err(SplitError::EmptyPart(part));
        }
        Ok(Self { by, seed, data: data.digest.clone(), train, validation })
    }

    /// The frames of both parts, in the order of the names.
    pub fn frames<'a>(&self, data: &'a Dataset) -> Result<(Vec<&'a Frame>, Vec<&'a Frame>), SplitError> {
        let by_name: std::collections::HashMap<&str, &Frame> =
            data.frames.iter().map(|f| (f.name.as_str(), f)).collect();
        let find = |names: &[String]| {
            let frame = |name: &String| by_name.get(name.as_str()).copied();
            let found = names.iter().map(|n| frame(n).ok_or(SplitError::OtherData(n.clone())));
            found.collect::<Result<Vec<_>, _>>()
        };
        Ok((find(&self.train)?, find(&self.validation)?))
    }
}

/// Whole patients in random order, as long as the next brings the count nearer to `wanted`.
fn draw_patients(data: &Dataset, wanted: usize, rng: &mut Rng) -> Result<Vec<bool>, SplitError> {
    let mut patients = data.patients();
    if let [only] = patients[..] {
        return Err(SplitError::OnePatient(only));
    }
    rng.shuffle(&mut patients);
    let (mut drawn, mut count) = (BTreeSet::new(), 0);
    for patient in &patients[..patients.len().saturating_sub(1)] {
        let frames = data.frames.iter().filter(|f| f.patient == *patient).count();
        if drawn.is_empty() || (count + frames).abs_diff(wanted) < count.abs_diff(wanted) {
            count += frames;
            drawn.insert(*patient);
        }
    }
    Ok(data.frames.iter().map(|f| drawn.contains(&f.patient)).collect())
}

fn draw_frames(data: &Dataset, wanted: usize, rng: &mut Rng) -> Vec<bool> {
    let mut validates: Vec<bool> = (0..data.frames.len()).map(|i| i < wanted).collect();
    rng.shuffle(&mut validates);
    validates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(patients: u32, frames: u32) -> Dataset {
        let frame = |patient, n| Frame {
            name: format!("{patient}_{n}"),
            patient,
            luma: Box::default(),
            nerve: Box::from([u8::from(n % 2 == 0)]),
        };
        Dataset {
            frames: (0..patients).flat_map(|p| (0..frames).map(move |n| frame(p, n))).collect(),
            height: 0,
            width: 0,
            digest: "d".into(),
        }
    }

    fn patients_of(names: &[String]) -> BTreeSet<&str> {
        names.iter().filter_map(|n| n.split('_').next()).collect()
    }

    #[test]
    fn by_patient_never_crosses() {
        let data = data(10, 30);
        for seed in 0..50 {
            let split = Split::draw(&data, SplitBy::Patient, 0.2, false, seed).unwrap();
            let both = [patients_of(&split.train), patients_of(&split.validation)];
            assert!(both[0].is_disjoint(&both[1]), "{both:?}");
            assert_eq!(split.validation.len(), 60);
            assert_eq!(split.train.len() + split.validation.len(), 300);
            assert_eq!(split, Split::draw(&data, SplitBy::Patient, 0.2, false, seed).unwrap());
        }
    }

    #[test]
    fn by_frame_takes_a_fifth_then_drops_empty_ones() {
        let data = data(3, 30);
        let split = Split::draw(&data, SplitBy::Frame, 0.2, false, 1).unwrap();
        assert_eq!((split.train.len(), split.validation.len()), (72, 18));
        let positives = Split::draw(&data, SplitBy::Frame, 0.2, true, 1).unwrap();
        assert_eq!(positives.train.len() + positives.validation.len(), 45);
        assert!(positives.validation.iter().all(|n| split.validation.contains(n)));
    }

    #[test]
    fn one_patient_cannot_be_split_by_patient() {
        let error = Split::draw(&data(1, 30), SplitBy::Patient, 0.2, false, 1).unwrap_err();
        assert!(error.to_string().contains("split = \"frame\""), "{error}");
    }

    #[test]
    fn frames_of_other_data_are_noticed() {
        let split = Split::draw(&data(5, 5), SplitBy::Patient, 0.2, false, 1).unwrap();
        assert!(matches!(split.frames(&data(5, 4)), Err(SplitError::OtherData(_))));
    }
}

//! The files of frames and masks in a directory, before they are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::DataError;

/// Patient and number.
pub type Key = (u32, u32);

/// Files of one frame.
#[derive(Default)]
pub struct Pair {
    frame: Option<PathBuf>,
    mask: Option<PathBuf>,
}

/// What lies in a directory, unread.
pub struct Listing {
    pub directory: PathBuf,
    pub pairs: BTreeMap<Key, Pair>,
    pub problems: Vec<String>,
}

impl Listing {
    /// Lists `directory`, or its folder `train` where there is one.
    pub fn find(directory: &Path) -> Result<Self, DataError> {
        if !directory.is_dir() {
            return Err(DataError::Missing(directory.into()));
        }
        let train = directory.join("train");
        let listing = Self::of(if train.is_dir() { &train } else { directory })?;
        if listing.pairs.is_empty() && listing.problems.is_empty() {
            return Err(DataError::Empty(listing.directory));
        }
        Ok(listing)
    }

    fn of(directory: &Path) -> Result<Self, DataError> {
        let io = |error| DataError::Io(directory.into(), error);
        let mut listing = Self { directory: directory.into(), pairs: BTreeMap::new(), problems: vec![] };
        for entry in std::fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            if !["tif", "tiff", "png"].iter().any(|e| extension == *e) {
                continue;
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let frame_stem = stem.strip_suffix("_mask");
            match parse(frame_stem.unwrap_or(&stem)) {
                None => listing.problems.push(format!(
                    "{}: is not named PATIENT_NUMBER or PATIENT_NUMBER_mask; rename or remove it",
                    name(&path)
                )),
                Some(key) => {
                    let pair = listing.pairs.entry(key).or_default();
                    let slot = if frame_stem.is_some() { &mut pair.mask } else { &mut pair.frame };
                    if let Some(twin) = slot.replace(path.clone()) {
                        let (twin, path) = (name(&twin), name(&path));
                        listing.problems.push(format!("{twin}: is there as {path} too; remove one"));
                    }
                }
            }
        }
        Ok(listing)
    }
}

/// The highest number of each patient's frames and masks that lie in `directory` itself; none where it does not exist.
///
/// # Errors
/// When it cannot be listed.
pub fn highest(directory: &Path) -> Result<BTreeMap<u32, u32>, DataError> {
    if !directory.is_dir() {
        return Ok(BTreeMap::new());
    }
    // Keys are sorted, so a patient's highest number comes last.
    Ok(Listing::of(directory)?.pairs.into_keys().collect())
}

fn parse(stem: &str) -> Option<Key> {
    let (patient, number) = stem.split_once('_')?;
    Some((patient.parse().ok()?, number.parse().ok()?))
}

/// The name of a file.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Pair {
    /// Frame and mask, or which of them is missing.
    pub fn complete(&self, (patient, number): Key) -> Result<(&Path, &Path), String> {
        match (&self.frame, &self.mask) {
            (Some(frame), Some(mask)) => Ok((frame, mask)),
            (Some(frame), None) => {
                let mask = name(&frame.with_file_name(format!("{patient}_{number}_mask")));
                Err(format!(
                    "{}: has no mask; add {mask}.tif (all black when there is no nerve)",
                    name(frame)
                ))
            }
            (None, mask) => {
                let mask = mask.as_deref().map(name).unwrap_or_default();
                Err(format!("{mask}: has no frame {patient}_{number}; add or remove"))
            }
        }
    }
}

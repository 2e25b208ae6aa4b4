//! A directory of frames and masks, `S_N.tif` and `S_N_mask.tif` with S the patient.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use super::corrections::{Applied, Corrections, Subject};
use super::error::DataError;
use super::frame::Frame;
use super::listing::{Key, Listing, Pair, name};
use super::read::{self, Picture};
use crate::util::sha256;

/// Rows of the frame that the network sees, as the published project crops.
const ROWS: std::ops::Range<usize> = 2..418;
/// Columns of the frame that the network sees.
const COLUMNS: std::ops::Range<usize> = 2..578;
/// Mask pixels from here on are nerve. Masks are 0 or 255; this forgives resampled ones.
pub const NERVE: u8 = 128;
/// Frames of one size, in memory, sorted by patient and number.
#[derive(Debug)]
pub struct Dataset {
    pub frames: Vec<Frame>,
    pub height: usize,
    pub width: usize,
    /// SHA-256 over the sorted names and content digests, in hex; with corrections,
    /// [`Corrections::digest_of`] that.
    pub digest: String,
    /// What was corrected on loading.
    pub corrections: Option<Applied>,
}

impl Dataset {
    /// Reads `directory`, or its folder `train` where there is one. Reports every bad file at once.
    pub fn load(directory: &Path) -> Result<Self, DataError> {
        Ok(Self::read(directory, false)?.0)
    }

    /// [`Self::load`], with the corrections of a file where there is one.
    pub fn open(directory: &Path, corrections: Option<&Path>) -> Result<Self, DataError> {
        match corrections {
            Some(path) => Self::corrected(directory, Corrections::load(path)?, None),
            None => Self::load(directory),
        }
    }

    /// [`Self::load`] with `corrections`. Where `only` is given, they are for the data set that has
    /// this digest with them, and another comes as it is.
    pub fn corrected(
        directory: &Path,
        corrections: Corrections,
        only: Option<&str>,
    ) -> Result<Self, DataError> {
        let (mut data, subjects) = Self::read(directory, true)?;
        let digest = corrections.digest_of(&data.digest);
        if only.is_some_and(|only| only != digest) {
            return Ok(data);
        }
        data.corrections = Some(corrections.apply(&mut data.frames, &data.digest, &subjects)?);
        data.digest = digest;
        if data.frames.is_empty() {
            return Err(DataError::Dropped(directory.into()));
        }
        Ok(data)
    }

    /// The data set and, where wanted, each frame's digests.
    fn read(directory: &Path, subjects: bool) -> Result<(Self, Vec<Subject>), DataError> {
        let Listing { directory, pairs, mut problems } = Listing::find(directory)?;
        let read: Vec<_> = pairs.par_iter().map(|(key, pair)| load_pair(key, pair, subjects)).collect();
        let (mut frames, mut subjects) = (Vec::with_capacity(read.len()), vec![]);
        let mut files = BTreeSet::new();
        for pair in read {
            match pair {
                Ok((frame, subject, contents)) => {
                    files.extend(contents);
                    subjects.extend(subject);
                    frames.push(frame);
                }
                Err(bad) => problems.extend(bad),
            }
        }
        if !problems.is_empty() {
            problems.sort();
            return Err(DataError::Bad { directory, problems });
        }
        let (height, width, digest) = (ROWS.len(), COLUMNS.len(), digest(&files));
        Ok((Self { frames, height, width, digest, corrections: None }, subjects))
    }

    /// Patients, in order.
    pub fn patients(&self) -> Vec<u32> {
        let patients: BTreeSet<u32> = self.frames.iter().map(|f| f.patient).collect();
        patients.into_iter().collect()
    }
}

/// Name and content digest of a file.
pub type Contents = (String, String);

/// A frame, what it is known by where wanted, and the files it came from.
type Loaded = (Frame, Option<Subject>, [Contents; 2]);

/// SHA-256 over sorted names and content digests, in hex.
pub fn digest(files: &BTreeSet<Contents>) -> String {
    let lines: String = files.iter().map(|(name, content)| format!("{content}  {name}\n")).collect();
    sha256(lines.as_bytes())
}

fn load_pair(key: &Key, pair: &Pair, subject: bool) -> Result<Loaded, Vec<String>> {
    let (patient, number) = *key;
    let (frame, mask) = pair.complete(*key).map_err(|problem| vec![problem])?;
    match (load_picture(frame), load_picture(mask)) {
        (Ok((luma, luma_digest)), Ok((nerve, nerve_digest))) => {
            let files = [(name(frame), luma_digest), (name(mask), nerve_digest)];
            let name = format!("{patient}_{number}");
            let subject = subject.then(|| Subject::of(&name, &luma.luma, &nerve.luma));
            let mut nerve = crop(&nerve);
            nerve.iter_mut().for_each(|pixel| *pixel = u8::from(*pixel >= NERVE));
            Ok((Frame { name, patient, luma: crop(&luma), nerve }, subject, files))
        }
        (frame, mask) => Err([frame.err(), mask.err()].into_iter().flatten().collect()),
    }
}

/// A picture and the digest of its file in hex, or the file's name and what is wrong.
pub fn load_picture(path: &Path) -> Result<(Picture, String), String> {
    let load = || {
        let contents = std::fs::read(path)?;
        Ok((read::decode(path, &contents)?, sha256(&contents)))
    };
    load().map_err(|error: read::PictureError| format!("{}: {error}", name(path)))
}

fn crop(picture: &Picture) -> Box<[u8]> {
    picture
        .luma
        .chunks_exact(picture.width)
        .skip(ROWS.start)
        .take(ROWS.len())
        .flat_map(|row| &row[COLUMNS])
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiff::encoder::{TiffEncoder, colortype};

    const SIZE: (u32, u32) = (580, 420);

    fn write<C: colortype::ColorType>(path: &Path, (width, height): (u32, u32), pixel: &[C::Inner])
    where
        C::Inner: Copy,
        [C::Inner]: tiff::encoder::TiffValue,
    {
        let pixels = pixel.repeat((width * height) as usize);
        let mut encoder = TiffEncoder::new(std::fs::File::create(path).unwrap()).unwrap();
        encoder.write_image::<C>(width, height, &pixels).unwrap();
    }

    fn gray(path: &Path, value: u8) {
        write::<colortype::Gray8>(path, SIZE, &[value]);
    }

    fn good(directory: &Path) {
        gray(&directory.join("1_1.tif"), 7);
        gray(&directory.join("1_1_mask.tif"), 255);
    }

    #[test]
    fn crops_and_thresholds() {
        let directory = tempfile::tempdir().unwrap();
        good(directory.path());
        let ramp: Vec<u8> = (0..580 * 420).map(|i| (i % 580 / 4 + i / 580 % 7) as u8).collect();
        let png = image::GrayImage::from_raw(580, 420, ramp.clone()).unwrap();
        png.save(directory.path().join("12_3.png")).unwrap();
        gray(&directory.path().join("12_3_mask.tif"), 0);
        let data = Dataset::load(directory.path()).unwrap();
        assert_eq!((data.frames.len(), data.height, data.width), (2, 416, 576));
        assert_eq!(data.patients(), [1, 12]);
        assert!(data.frames[0].has_nerve() && !data.frames[1].has_nerve());
        let (row, column) = (10, 20);
        assert_eq!(data.frames[1].luma[row * 576 + column], ramp[(row + 2) * 580 + column + 2]);
        let digest = data.digest;
        gray(&directory.path().join("12_3_mask.tif"), 255);
        assert_ne!(Dataset::load(directory.path()).unwrap().digest, digest);
    }

    #[test]
    fn folder_train_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let train = directory.path().join("train");
        std::fs::create_dir(&train).unwrap();
        good(&train);
        assert_eq!(Dataset::load(directory.path()).unwrap().frames.len(), 1);
    }

    #[test]
    fn bad_files_are_named_with_a_remedy() {
        type Spoil = fn(&Path);
        let cases: [(&str, Spoil, &[&str]); 9] = [
            (
                "16 bits",
                |d| write::<colortype::Gray16>(&d.join("1_2.tif"), SIZE, &[300]),
                &["1_2.tif: has 16 bits", "convert it to 8-bit gray"],
            ),
            (
                "RGB",
                |d| write::<colortype::RGB8>(&d.join("1_2.tif"), SIZE, &[1, 2, 3]),
                &["1_2.tif: is RGB, not gray"],
            ),
            (
                "small",
                |d| write::<colortype::Gray8>(&d.join("1_2.tif"), (256, 256), &[1]),
                &["1_2.tif: is 256x256, wanted 580x420"],
            ),
            (
                "truncated",
                |d| {
                    let path = d.join("1_2.tif");
                    gray(&path, 9);
                    let contents = std::fs::read(&path).unwrap();
                    std::fs::write(path, &contents[..contents.len() / 2]).unwrap();
                },
                &["1_2.tif: is cut short or damaged", "copy it again"],
            ),
            (
                "not a TIFF",
                |d| std::fs::write(d.join("1_2.tif"), "hello").unwrap(),
                &["1_2.tif: is cut short or damaged"],
            ),
            (
                "no mask",
                |d| std::fs::remove_file(d.join("1_2_mask.tif")).unwrap(),
                &["1_2.tif: has no mask; add 1_2_mask.tif"],
            ),
            (
                "no frame",
                |d| std::fs::remove_file(d.join("1_2.tif")).unwrap(),
                &["1_2_mask.tif: has no frame 1_2"],
            ),
            (
                "small mask",
                |d| {
                    write::<colortype::Gray8>(&d.join("1_2_mask.tif"), (580, 400), &[1]);
                },
                &["1_2_mask.tif: is 580x400"],
            ),
            ("name", |d| gray(&d.join("frame7.tif"), 1), &["frame7.tif: is not named PATIENT_"]),
        ];
        for (case, spoil, expected) in cases {
            let directory = tempfile::tempdir().unwrap();
            good(directory.path());
            gray(&directory.path().join("1_2.tif"), 9);
            gray(&directory.path().join("1_2_mask.tif"), 0);
            spoil(directory.path());
            let error = Dataset::load(directory.path()).unwrap_err().to_string();
            for expected in expected {
                assert!(error.contains(expected), "{case}: {error}");
            }
            assert!(error.contains("1 of its files"), "{case}: {error}");
        }
    }

    #[test]
    fn all_bad_files_are_reported_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for n in 0..30 {
            std::fs::write(directory.path().join(format!("1_{n}.tif")), "no").unwrap();
            gray(&directory.path().join(format!("1_{n}_mask.tif")), 0);
        }
        let error = Dataset::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("30 of its files") && error.contains("and 10 more"), "{error}");
        assert_eq!(error.lines().count(), 22);
    }

    #[test]
    fn missing_and_empty_directories() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Dataset::load(&directory.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("no such directory"), "{missing}");
        let empty = Dataset::load(directory.path()).unwrap_err().to_string();
        assert!(empty.contains("no frames here"), "{empty}");
    }
}

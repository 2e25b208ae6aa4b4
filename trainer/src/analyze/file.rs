//! The file that `analyze scan` writes.
//!
//! All numbers are little-endian.
//! ```text
//! "nervelight scan 1\n"
//! u32   length of the header in bytes
//! JSON  header: width, height, frames (names), limit, pairs, bucket, buckets (null: quick scan)
//! 64 B  for each frame: SHA-256 of its file and of its mask's file
//! u64   for each bucket: pairs in it                                          (not when quick)
//! 2xu32 for each frame: the frame most like it, their difference; a lone frame: itself, 2^32-1
//!                                                                             (not when quick)
//! 4xu32 for each pair under the limit: two frames, difference, difference of masks
//! 32 B  SHA-256 of everything before
//! ```

use std::path::Path;

use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::similar::{BUCKET, Pair};
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH, Recorded};
use crate::util::csv_text;

const MAGIC: &[u8] = b"nervelight scan 1\n";
const DIGEST: usize = 32;

/// A pair under the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    pub pair: Pair,
    /// Sum of absolute differences of the masks as stored.
    pub mask_sad: u32,
}

/// A frame as it was when scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// `S_N`
    pub name: String,
    /// SHA-256 of the frame's file and of its mask's.
    pub digests: [[u8; DIGEST]; 2],
}

/// What only a scan of all pairs knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Pairs by difference, in buckets of [`BUCKET`].
    pub histogram: Vec<u64>,
    /// Of every frame the one most like it and their difference.
    pub nearest: Vec<Option<(u32, u32)>>,
}

/// Results of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    pub frames: Vec<Scanned>,
    /// All pairs with a difference below it are in `matches`.
    pub limit: u32,
    pub matches: Vec<Match>,
    /// None after a quick scan.
    pub whole: Option<Whole>,
}

/// Why a file is no scan of this data.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    #[error("is not a scan, or one of another version; make it with `nervelight-train analyze scan`")]
    Foreign,
    #[error("is cut short or damaged; run `nervelight-train analyze scan` again")]
    Damaged,
    #[error("belongs to other data ({0}); run `nervelight-train analyze scan` on this data")]
    OtherData(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    width: usize,
    height: usize,
    frames: Vec<String>,
    limit: u32,
    pairs: usize,
    bucket: u32,
    buckets: Option<usize>,
}

impl Scan {
    /// Writes `path`, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), ScanError> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        Ok(atomic::write(path, Access::Umask, &self.to_bytes())?)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            width: FRAME_WIDTH,
            height: FRAME_HEIGHT,
            frames: self.frames.iter().map(|frame| frame.name.clone()).collect(),
            limit: self.limit,
            pairs: self.matches.len(),
            bucket: BUCKET,
            buckets: self.whole.as_ref().map(|whole| whole.histogram.len()),
        };
        let header = serde_json::json!(header).to_string();
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(self.frames.iter().flat_map(|frame| frame.digests).flatten());
        if let Some(whole) = &self.whole {
            bytes.extend(whole.histogram.iter().flat_map(|count| count.to_le_bytes()));
            for (i, nearest) in whole.nearest.iter().enumerate() {
                let (frame, sad) = nearest.unwrap_or((i as u32, u32::MAX));
                bytes.extend([frame, sad].iter().flat_map(|n| n.to_le_bytes()));
            }
        }
        for Match { pair: Pair { a, b, sad }, mask_sad } in &self.matches {
            bytes.extend([a, b, sad, mask_sad].iter().flat_map(|n| n.to_le_bytes()));
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    /// Reads and checks `path`.
    pub fn load(path: &Path) -> Result<Self, ScanError> {
        Self::from_bytes(&std::fs::read(path)?)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, ScanError> {
        if !bytes.starts_with(MAGIC) {
            return Err(ScanError::Foreign);
        }
        let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(ScanError::Damaged)?;
        if Sha256::digest(body)[..] != digest[..] {
            return Err(ScanError::Damaged);
        }
        Self::parse(body.get(MAGIC.len()..).unwrap_or_default()).ok_or(ScanError::Damaged)
    }

    fn parse(mut rest: &[u8]) -> Option<Self> {
        let length = number(&mut rest)? as usize;
        let header: Header = serde_json::from_slice(rest.split_off(..length)?).ok()?;
        let count = header.frames.len();
        let mut frames = Vec::with_capacity(count);
        for name in header.frames {
            frames.push(Scanned { name, digests: [chunk(&mut rest)?, chunk(&mut rest)?] });
        }
        let whole = match header.buckets {
            None => None,
            Some(buckets) => {
                let histogram =
                    (0..buckets).map(|_| chunk(&mut rest).map(u64::from_le_bytes)).collect::<Option<_>>()?;
                let mut nearest = || {
                    let (frame, sad) = (number(&mut rest)?, number(&mut rest)?);
                    ((frame as usize) < count).then_some((sad != u32::MAX).then_some((frame, sad)))
                };
                Some(Whole { histogram, nearest: (0..count).map(|_| nearest()).collect::<Option<_>>()? })
            }
        };
        let mut one = || {
            let [a, b, sad, mask_sad] =
                [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
            (a < b && (b as usize) < count).then_some(Match { pair: Pair { a, b, sad }, mask_sad })
        };
        let matches = (0..header.pairs).map(|_| one()).collect::<Option<_>>()?;
        rest.is_empty().then_some(Self { frames, limit: header.limit, matches, whole })
    }

    /// Whether the scan is of exactly these files.
    pub fn check(&self, data: &Recorded) -> Result<(), ScanError> {
        let of_data = scanned(data);
        let other = self.frames.iter().zip(&of_data).find(|(a, b)| a != b);
        match other {
            Some((a, b)) if a.name == b.name => {
                Err(ScanError::OtherData(format!("frame or mask {} has changed", a.name)))
            }
            Some((a, b)) => {
                Err(ScanError::OtherData(format!("frame {} where {} was scanned", b.name, a.name)))
            }
            None if self.frames.len() != of_data.len() => Err(ScanError::OtherData(format!(
                "{} frames, {} were scanned",
                of_data.len(),
                self.frames.len()
            ))),
            None => Ok(()),
        }
    }

    /// `img1,img2,diff,mask_diff` and a line for each pair under the limit.
    pub fn csv(&self) -> csv::Result<String> {
        let name = |i: u32| self.frames[i as usize].name.clone();
        let row = |Match { pair: Pair { a, b, sad }, mask_sad }: &Match| {
            [name(*a), name(*b), sad.to_string(), mask_sad.to_string()]
        };
        csv_text(["img1", "img2", "diff", "mask_diff"], self.matches.iter().map(row))
    }
}

/// Names and digests of `data`.
pub fn scanned(data: &Recorded) -> Vec<Scanned> {
    let entry = |frame: &crate::data::RecordedFrame| Scanned {
        name: frame.name.clone(),
        digests: [&frame.digest, &frame.mask_digest].map(|digest| unhex(digest)),
    };
    data.frames.iter().map(entry).collect()
}

fn unhex(text: &str) -> [u8; DIGEST] {
    let digit =
        |i: usize| text.as_bytes().get(i).and_then(|&c| char::from(c).to_digit(16)).unwrap_or(0) as u8;
    std::array::from_fn(|i| digit(2 * i) << 4 | digit(2 * i + 1))
}

fn chunk<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*chunk)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    chunk(rest).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(quick: bool) -> Scan {
        let frame = |n: u8| Scanned { name: format!("1_{n}"), digests: [[n; 32], [n + 100; 32]] };
        let pair = |a, b, sad| Match { pair: Pair { a, b, sad }, mask_sad: 255 * sad };
        Scan {
            frames: (0..3).map(frame).collect(),
            limit: 1000,
            matches: vec![pair(0, 1, 7), pair(1, 2, 999)],
            whole: (!quick)
                .then(|| Whole { histogram: vec![2, 0, 1], nearest: vec![Some((1, 7)), Some((0, 7)), None] }),
        }
    }

    #[test]
    fn what_is_written_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/scan");
        for quick in [false, true] {
            scan(quick).save(&path).unwrap();
            assert_eq!(Scan::load(&path).unwrap(), scan(quick));
        }
        assert_eq!(
            scan(true).csv().unwrap(),
            "img1,img2,diff,mask_diff\n1_0,1_1,7,1785\n1_1,1_2,999,254745\n"
        );
        assert_eq!(unhex("0aff")[..3], [10, 255, 0]);
    }

    #[test]
    fn no_damage_goes_unseen() {
        let good = scan(false).to_bytes();
        for at in 0..good.len() {
            assert!(Scan::from_bytes(&good[..at]).is_err(), "cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(Scan::from_bytes(&bad).is_err(), "changed at {at}");
        }
        let error = Scan::from_bytes(b"img1,img2").unwrap_err().to_string();
        assert!(error.contains("is not a scan"), "{error}");
    }

    #[test]
    fn frames_that_do_not_exist_are_noticed() {
        let mut scan = scan(false);
        scan.matches[0].pair.b = 3;
        assert!(matches!(Scan::from_bytes(&scan.to_bytes()), Err(ScanError::Damaged)));
    }
}

//! Frames as recorded, not cropped, with their masks as stored. A file that cannot be used is reported and left out.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use super::corrections::Subject;
use super::dataset::{self, Contents, NERVE};
use super::error::DataError;
use super::listing::{Key, Listing, Pair, name};
use super::read::{FRAME_HEIGHT, FRAME_WIDTH};
use super::run_lengths::RunLengths;
use super::stack::Stack;

/// A frame of 580x420 pixels and its mask; [`Recorded::luma`] has the pixels.
#[derive(Debug)]
pub struct RecordedFrame {
    /// `S_N`
    pub name: String,
    /// S
    pub patient: u32,
    /// SHA-256 of the frame's file, in hex.
    pub digest: String,
    /// SHA-256 of the mask's file, in hex.
    pub mask_digest: String,
    /// The mask, to the bit.
    pub mask: RunLengths,
    slot: usize,
}

impl RecordedFrame {
    /// Nerve in pixels.
    pub fn area(&self) -> usize {
        self.mask.area(NERVE)
    }
}

/// Every usable frame of a directory, sorted by patient and number.
#[derive(Debug)]
pub struct Recorded {
    /// Frames with a mask.
    pub frames: Vec<RecordedFrame>,
    /// Files that cannot be used, each with the reason and a remedy.
    pub problems: Vec<String>,
    /// SHA-256 over the sorted names and content digests of its files, in hex: without problems,
    /// that of [`super::Dataset`].
    pub digest: String,
    stack: Stack,
}

impl Recorded {
    /// Reads `directory`, or its folder `train` where there is one. `start` hears how many frames
    /// there are, `done` how many more are read, from any thread.
    pub fn load(
        directory: &Path,
        start: impl FnOnce(usize),
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, DataError> {
        let Listing { directory, pairs, mut problems } = Listing::find(directory)?;
        let pairs: Vec<(Key, Pair)> = pairs.into_iter().collect();
        start(pairs.len());
        let (stack, read) = Stack::fill(pairs.len(), FRAME_WIDTH * FRAME_HEIGHT, |slot, luma| {
            let (key, pair) = &pairs[slot];
            let frame = load_pair(*key, pair, slot, luma);
            done(1);
            frame
        });
        let mut frames = vec![];
        let mut files = BTreeSet::new();
        for frame in read {
            match frame {
                Ok((frame, contents)) => {
                    files.extend(contents);
                    frames.push(frame);
                }
                Err(bad) => problems.extend(bad),
            }
        }
        problems.sort();
        if frames.is_empty() {
            return Err(DataError::Bad { directory, problems });
        }
        Ok(Self { frames, problems, digest: dataset::digest(&files), stack })
    }

    /// Pixels of a frame of this set, row by row.
    pub fn luma(&self, frame: &RecordedFrame) -> &[u8] {
        self.stack.frame(frame.slot)
    }

    /// What each frame is known by in corrections, in order.
    pub fn subjects(&self) -> Vec<Subject> {
        let subject =
            |frame: &RecordedFrame| Subject::of(&frame.name, self.luma(frame), &frame.mask.pixels());
        self.frames.par_iter().map(subject).collect()
    }

    /// Pixels of every frame, in order.
    pub fn all_luma(&self) -> Vec<&[u8]> {
        self.frames.par_iter().map(|frame| self.luma(frame)).collect()
    }
}

fn load_pair(
    key: Key,
    pair: &Pair,
    slot: usize,
    luma: &mut [u8],
) -> Result<(RecordedFrame, [Contents; 2]), Vec<String>> {
    let (frame, mask) = pair.complete(key).map_err(|problem| vec![problem])?;
    let names = [frame, mask].map(name);
    match (dataset::load_picture(frame), dataset::load_picture(mask)) {
        (Ok((picture, digest)), Ok((mask, mask_digest))) => {
            luma.copy_from_slice(&picture.luma);
            let (patient, number) = key;
            let name = format!("{patient}_{number}");
            let [frame, mask_file] = names;
            let contents = [(frame, digest.clone()), (mask_file, mask_digest.clone())];
            let mask = RunLengths::of(&mask.luma);
            Ok((RecordedFrame { name, patient, digest, mask_digest, mask, slot }, contents))
        }
        (frame, mask) => Err([frame.err(), mask.err()].into_iter().flatten().collect()),
    }
}

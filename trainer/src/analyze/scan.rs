//! The difference of every pair of frames.

use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use rayon::prelude::*;

use super::file::{Match, Scan, Whole, scanned};
use crate::data::similar::{self, Pair, Sad};
use crate::data::{FRAME_WIDTH, Recorded};
use crate::util::Progress;

/// Pairs below it are listed: near-duplicates, by the scale of real frames.
pub const DEFAULT_LIMIT: u32 = 100_000;

/// Reads every usable frame; says how many files are not.
pub fn load(directory: &Path) -> Result<Recorded> {
    let progress = Mutex::new(None);
    let start = |frames| _ = set(&progress, Some(Progress::new("read", 0, frames)));
    let data = Recorded::load(directory, start, &|frames| advance(&progress, frames))?;
    finish(progress);
    if !data.problems.is_empty() {
        errln!(
            "{} files cannot be used and are left out, the first: {}. `analyze report` lists all",
            data.problems.len(),
            data.problems[0]
        );
    }
    Ok(data)
}

/// Compares every pair; `quick` only finds those under `limit`.
pub fn scan(data: &Recorded, limit: u32, quick: bool) -> Scan {
    let (sad, luma, count) = (Sad::detect(), data.all_luma(), data.frames.len());
    let progress = Mutex::new(Some(Progress::new("compare", 0, count)));
    let (below, whole) = if quick {
        (similar::below_by(sad, &luma, FRAME_WIDTH, limit, &|frames| advance(&progress, frames)), None)
    } else {
        // Progress is in frames, like everywhere: the share of the pairs that is done.
        let pairs = (count * count.saturating_sub(1) / 2).max(1);
        let counted = Mutex::new((0, 0));
        let all = similar::all(sad, &luma, limit, &|more| {
            if let Ok(mut counted) = counted.lock() {
                counted.0 += more;
                let frames = count * counted.0 / pairs;
                advance(&progress, frames - counted.1);
                counted.1 = frames;
            }
        });
        (all.below, Some(Whole { histogram: all.histogram, nearest: all.nearest }))
    };
    finish(progress);
    let matched = |pair: Pair| {
        let [a, b] = [pair.a, pair.b].map(|i| &data.frames[i as usize].mask);
        Match { pair, mask_sad: a.sad(b) }
    };
    Scan { frames: scanned(data), limit, matches: below.into_par_iter().map(matched).collect(), whole }
}

type Shared = Mutex<Option<Progress>>;

fn set(progress: &Shared, to: Option<Progress>) -> Option<Progress> {
    progress.lock().ok().and_then(|mut held| std::mem::replace(&mut *held, to))
}

fn advance(progress: &Shared, frames: usize) {
    if let Ok(mut progress) = progress.lock()
        && let Some(progress) = progress.as_mut()
    {
        progress.advance(frames);
    }
}

fn finish(progress: Shared) {
    if let Some(progress) = set(&progress, None) {
        progress.finish();
    }
}

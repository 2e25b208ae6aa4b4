//! `analyze scan`: the difference of every pair of frames.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::file::{Match, Scan, Whole, scanned};
use super::pairs::{self, Pair};
use super::sad::Sad;
use crate::data::{FRAME_WIDTH, Recorded};
use crate::progress::Progress;

/// Pairs below it are listed: near-duplicates, by the scale of real frames.
pub const DEFAULT_LIMIT: u32 = 100_000;

/// Arguments of `analyze scan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train analyze scan --data data/neck --out neck.scan
  nervelight-train analyze scan --data data/neck --out neck.scan --threshold 1000 --csv pairs.csv
  nervelight-train analyze scan --data data/neck --out neck.scan --quick

The difference of two frames is the sum of absolute differences of their 580x420 pixels, 0 to
62,118,000. Every pair is compared, exactly. --quick skips the histogram and the nearest frame of
each frame, and is done in seconds.")]
pub struct Arguments {
    /// Directory with S_N.tif and S_N_mask.tif, or with a folder `train` of them
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// File to write the results to, for `analyze report`
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// List pairs with a difference under this
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT)]
    pub threshold: u32,
    /// Write the listed pairs too, as img1,img2,diff,mask_diff
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Only the pairs under the threshold
    #[arg(long)]
    pub quick: bool,
}

/// Scans and writes the results.
pub fn run(arguments: &Arguments) -> Result<()> {
    let data = load(&arguments.data)?;
    let begun = Instant::now();
    let scan = scan(&data, arguments.threshold, arguments.quick);
    let count = data.frames.len() as u64;
    outln!(
        "{} pairs of {count} frames in {:.1} s ({}): {} under {}, {} of them with different masks",
        count * (count - 1) / 2,
        begun.elapsed().as_secs_f64(),
        Sad::detect().name(),
        scan.matches.len(),
        scan.limit,
        scan.matches.iter().filter(|m| m.mask_sad > 0).count()
    );
    scan.save(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    if let Some(csv) = &arguments.csv {
        std::fs::write(csv, scan.csv()).with_context(|| format!("{}: write", csv.display()))?;
    }
    outln!("results in {}", arguments.out.display());
    Ok(())
}

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
        (pairs::below(sad, &luma, FRAME_WIDTH, limit, &|frames| advance(&progress, frames)), None)
    } else {
        // Progress is in frames, like everywhere: the share of the pairs that is done.
        let pairs = (count * count.saturating_sub(1) / 2).max(1);
        let counted = Mutex::new((0, 0));
        let all = pairs::all(sad, &luma, limit, &|more| {
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

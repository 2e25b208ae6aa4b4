//! `analyze scan`: the difference of every pair of frames.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::analyze::{DEFAULT_LIMIT, load, scan};
use crate::data::similar::Sad;

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
        std::fs::write(csv, scan.csv()?).with_context(|| format!("{}: write", csv.display()))?;
    }
    outln!("results in {}", arguments.out.display());
    Ok(())
}

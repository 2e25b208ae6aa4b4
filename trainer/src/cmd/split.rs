//! `split`: draws folds into a file.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::data::crossings::table;
use crate::data::{Dataset, Split, SplitBy};

/// Arguments of `split`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train split --data data/neck --out folds.json
  nervelight-train split --data data/neck --out folds.json --folds 10 --seed 7

Then, in the settings of each run: split_file = \"folds.json\" and fold = 1, 2, ...")]
pub struct Arguments {
    /// Directory of frames and masks
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Corrections that the runs will train with
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What folds consist of
    #[arg(long, value_enum, default_value = "patient")]
    by: SplitBy,
    /// Number of folds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=100))]
    folds: u32,
    /// Another seed, other folds
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Draws and writes.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { out, by, folds, seed, .. } = arguments;
    if out.exists() {
        bail!("{}: is there already; runs may depend on it, so choose another name", out.display());
    }
    let data = Dataset::open(&arguments.data, arguments.corrections.as_deref())?;
    let split = Split::draw(&data, *by, *folds as usize, *seed)?;
    split.save(out).with_context(|| format!("{}: write", out.display()))?;
    out!("{}", table(&split, &data)?);
    outln!("digest {} in {}", split.digest(), out.display());
    Ok(())
}

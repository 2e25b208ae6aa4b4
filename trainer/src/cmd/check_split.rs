//! `check-split`: finds what crosses the folds of a split.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::data::crossings::{NEAR, crossings, table};
use crate::data::{Dataset, Split};

/// At most this many crossings are listed.
const LISTED: usize = 20;

/// Arguments of `check-split`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train check-split --data data/neck --split folds.json
  nervelight-train check-split --data data/neck --split runs/first/split.json --threshold 1000

Fails when a patient, or two frames that are nearly the same, are in different folds.")]
pub struct Arguments {
    /// Directory of frames and masks
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Corrections that the split was drawn with
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// A file of `split`, or split.json of a run
    #[arg(long, value_name = "FILE")]
    split: PathBuf,
    /// Two crops with a sum of absolute differences under this are nearly the same
    #[arg(long, value_name = "N", default_value_t = NEAR)]
    threshold: u32,
}

/// Checks and reports.
pub fn run(arguments: &Arguments) -> Result<()> {
    let split = Split::load(&arguments.split)?;
    let data = Dataset::open(&arguments.data, arguments.corrections.as_deref())?;
    out!("{}", table(&split, &data)?);
    let crossings = crossings(&split, &data, arguments.threshold)?;
    if crossings.is_empty() {
        outln!("nothing crosses: no patient, and no pair of frames less than {} apart", arguments.threshold);
        return Ok(());
    }
    let count = crossings.len();
    let listed: Vec<_> = crossings.into_iter().take(LISTED).collect();
    let more = if count > LISTED { format!("\n  and {} more", count - LISTED) } else { String::new() };
    bail!(
        "{}: {count} crossings, so figures of this split flatter:\n  {}{more}\n\
         draw folds by patient; two patients that share pictures are one: rename the frames of one to \
         the other's number, or drop them (`nervelight-train analyze resolve`)",
        arguments.split.display(),
        listed.join("\n  ")
    )
}

//! Counts and durations for the same tests at two sizes: `make test` runs a tenth or less, `make proof` all of it and
//! prints what was found as one table.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::root;

/// Set by `make proof`.
const FULL: &str = "NERVELIGHT_PROOF";

/// `full` under `make proof`, else `small`.
pub fn count(small: u64, full: u64) -> u64 {
    if is_full() { full } else { small }
}

/// `full` seconds under `make proof`, else `small`.
pub fn seconds(small: u64, full: u64) -> Duration {
    Duration::from_secs(count(small, full))
}

/// Whether `make proof` runs this.
pub fn is_full() -> bool {
    std::env::var_os(FULL).is_some()
}

/// The smallest of `values` that so large a share `q` of them do not exceed.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (q * sorted.len() as f64).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

/// Adds a row to the table of `make proof`: what was done how often, the figure, and what it had to be. Under `make test`
/// it only prints it.
///
/// # Errors
/// When the row cannot be written.
pub fn row(what: &str, found: impl Display, bound: &str) -> Result<()> {
    let line = format!("| {what} | {found} | {bound} |\n");
    print!("{line}");
    if !is_full() {
        return Ok(());
    }
    let folder = root().join("target/proof");
    fs::create_dir_all(&folder)?;
    // One write a row: tests run beside each other.
    let mut table = OpenOptions::new().create(true).append(true).open(folder.join("rows.md"))?;
    Ok(table.write_all(line.as_bytes())?)
}

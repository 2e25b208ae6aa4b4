//! `compare`: what a second evaluation does better and worse than a first, on the same frames.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::store::atomic::{self, Access};

use crate::compare::record::{self, Protocol, Record};
use crate::compare::{Comparison, SavedEvaluation, output};

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train compare runs/first runs/second
  nervelight-train compare first-fp32-auto.evaluation first-int8-auto.evaluation --out int8.html
  nervelight-train compare runs/first runs/second --out frames.csv --fail-below 0.02
  nervelight-train compare runs/first runs/second --fail-below 0.02 --record change.html --cart cart.toml

Every frame is compared with itself. Intervals come from drawing patients anew; `above 0` is the share
of draws in which B has the larger figure.")]
pub struct Arguments {
    /// Folder that `evaluate` wrote, or a run that has one
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The folder or run to compare with it
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Write the comparison to this .html, or every frame to this .csv
    #[arg(long, value_name = "FILE", value_parser = page_or_table)]
    out: Option<PathBuf>,
    /// Fail when B's Dice may be worse than A's by more than this: when the interval of the difference
    /// reaches below -X
    #[arg(long, value_name = "X", value_parser = loss)]
    fail_below: Option<f64>,
    /// Write the change record to this .html, and to the .json beside it: what changed, by which protocol it
    /// is let through, and what it does. `sign --record` keeps both in the bundle
    #[arg(long, value_name = "FILE", value_parser = page)]
    record: Option<PathBuf>,
    /// For the record: the cart's configuration, whose bounds it quotes
    #[arg(long, value_name = "FILE", requires = "record")]
    cart: Option<PathBuf>,
    /// For the record: the report of B in shadow mode on a cart, as JSON
    #[arg(long, value_name = "FILE", requires = "record")]
    shadow: Option<PathBuf>,
}

fn page(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_page = path.extension().is_some_and(|extension| extension == "html");
    if is_page { Ok(path) } else { Err("give it a name that ends in .html".into()) }
}

fn loss(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("impossible; use 0 to 1, such as 0.02".into()),
    }
}

fn page_or_table(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "csv") => Ok(path),
        _ => Err("give it a name that ends in .html or .csv".into()),
    }
}

/// Compares, prints, writes, and fails where asked to.
pub fn run(arguments: &Arguments) -> Result<()> {
    let [a, b] = [&arguments.a, &arguments.b].map(|path| SavedEvaluation::open(path));
    let comparison = Comparison::of(a?, b?)?;
    output::print(&comparison);
    if let Some(out) = &arguments.out {
        let html = out.extension().is_some_and(|extension| extension == "html");
        let text = if html { output::html(&comparison) } else { output::frames_csv(&comparison)? };
        std::fs::write(out, text).with_context(|| format!("{}: write", out.display()))?;
        outln!("\nwritten to {}", out.display());
    }
    let checked = arguments.fail_below.map_or(Ok(()), |limit| check(&comparison, limit));
    if let Some(path) = &arguments.record {
        write_record(arguments, &comparison, path, checked.is_ok())?;
    }
    checked
}

/// Writes the change record, of a change that is not supported too.
fn write_record(arguments: &Arguments, comparison: &Comparison, path: &Path, passed: bool) -> Result<()> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))
    };
    let cart = arguments.cart.as_ref().map(read).transpose()?;
    let shadow = arguments.shadow.as_ref().map(|path| {
        let text = read(path)?;
        serde_json::from_str(&text).with_context(|| format!("--shadow: {} is no JSON", path.display()))
    });
    let passed = arguments.fail_below.map(|_| passed);
    let protocol = Protocol::new(cart.as_deref(), arguments.fail_below, passed)?;
    let record = Record::of(comparison, protocol, shadow.transpose()?)?;
    let json = path.with_extension("json");
    for (path, text) in [(path, record::html(&record)), (&*json, serde_json::to_string_pretty(&record)?)] {
        atomic::write(path, Access::Umask, text.as_bytes())
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    outln!("\nchange record in {} and {}", path.display(), json.display());
    Ok(())
}

/// Fails unless a loss of Dice above `limit` can be ruled out.
fn check(comparison: &Comparison, limit: f64) -> Result<()> {
    let dice = comparison.changes.iter().find(|change| change.measure.name == "dice");
    let dice = dice.context("no frame has a nerve, so Dice cannot be compared")?;
    let [low, high] =
        dice.interval.context("all frames are of one patient: there is no interval to go by")?;
    if low < -limit {
        bail!(
            "B may be worse: its Dice differs by {:+.4}, 95% interval {low:+.4} to {high:+.4}, which reaches \
             below -{limit}",
            dice.difference()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::comparison;

    #[test]
    fn a_loss_that_cannot_be_ruled_out_fails() {
        let comparison = comparison();
        assert!(check(&comparison, 0.6).is_ok());
        let error = check(&comparison, 0.1).unwrap_err().to_string();
        assert!(error.contains("B may be worse") && error.contains("below -0.1"), "{error}");
        assert!(loss("0.02").is_ok() && loss("-1").is_err() && loss("nan").is_err());
    }
}

//! `nervelightd harvest`: the crops that were kept for retraining, listed, or copied to where they are wanted.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::config::Config;
use crate::harvest::export::{Exported, export, items};

/// What to do.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List what was kept, the oldest first.
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON, one item a line.
        #[arg(long)]
        json: bool,
    },
    /// Copy crops, maps and harvest.jsonl to a folder. What is there already stays: it can be repeated.
    Export {
        /// The folder, such as one on a stick.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

/// What to look at.
#[derive(clap::Args)]
struct Place {
    /// The folder as this configuration says.
    #[arg(long, value_name = "FILE", required_unless_present = "path")]
    config: Option<PathBuf>,
    /// The folder.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    path: Option<PathBuf>,
    /// Only what was kept within so many days or hours, such as 7d or 12h.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    since: Option<u64>,
}

impl Place {
    fn folder(&self) -> Result<PathBuf> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        let path = self.config.as_deref().unwrap_or(Path::new("cart.toml"));
        let kept = Config::read(path)?.harvest.with_context(|| {
            format!("{}: harvest.path is not set, so nothing is kept. Set it, or use --path", path.display())
        })?;
        Ok(kept.path)
    }

    /// The moment from which on items are wanted, in seconds since 1970.
    fn since(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.since.map_or(0, |seconds| now.saturating_sub(seconds))
    }
}

/// `7d` or `12h`.
fn seconds(text: &str) -> Result<u64, String> {
    let unit = match text.chars().last() {
        Some('d') => 86_400,
        Some('h') => 3600,
        _ => return Err("must be days or hours, such as 7d or 12h".into()),
    };
    let number: u64 =
        text[..text.len() - 1].parse().map_err(|_| "must be a number and d or h, such as 7d")?;
    number.checked_mul(unit).ok_or_else(|| "is too long".into())
}

/// Lists or exports.
///
/// # Errors
/// When the folder cannot be read, or the other not written; after the rest was done, when items are damaged.
pub fn harvest(arguments: &Arguments) -> Result<()> {
    match &arguments.verb {
        Verb::List { place, json } => list(&place.folder()?, place.since(), *json),
        Verb::Export { to, place } => {
            let Exported { new, known, left_out } = export(&place.folder()?, to, place.since())?;
            outln!("{new} new items in {}, {known} were there", to.display());
            complain(&left_out)
        }
    }
}

fn list(folder: &Path, since: u64, json: bool) -> Result<()> {
    let (items, damaged) = items(folder, since)?;
    for (entry, kept) in &items {
        if json {
            outln!("{}", serde_json::to_string(kept)?);
            continue;
        }
        let at = i64::try_from(kept.at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let at = at.map_or_else(String::new, |at| at.to_string());
        let item = &kept.item;
        let reason = item.reason.map_or_else(String::new, |reason| format!(" ({})", reason.name()));
        outln!(
            "{at}  {}{reason}, uncertainty {:.2}, {} px, case {}, {}",
            item.why.name(),
            item.figures.uncertainty,
            item.figures.area,
            item.case,
            entry.path.display()
        );
    }
    if !json {
        outln!("{} items in {}", items.len(), folder.display());
    }
    complain(&damaged)
}

fn complain(damaged: &[String]) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    bail!("these items cannot be used:\n  {}", damaged.join("\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_hours() {
        assert_eq!((seconds("7d"), seconds("12h")), (Ok(604_800), Ok(43_200)));
        for bad in ["", "d", "7", "7m", "-1d", "99999999999999999d", "1ä"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}

//! `analyze resolve`: decides between masks that contradict each other.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::analyze::resolve::{Auto, Session, auto, cases, serve};
use crate::analyze::{DUPLICATES, load, scan};
use crate::util::local_page;
use crate::util::text::grouped;

/// Beside the daemon's 8321.
const DEFAULT_PORT: u16 = 8322;

/// Arguments of `analyze resolve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train analyze resolve --data data/neck --corrections neck-corrections.toml
  nervelight-train analyze resolve --data data/neck --corrections neck-corrections.toml --auto majority

Without --auto, opens a page on this machine that shows each group of nearly equal frames whose masks
differ. Every decision is saved at once, and a later start goes on where the last one stopped. Data
files are never changed: name the file of corrections in the settings of `train`.")]
pub struct Arguments {
    /// Directory with S_N.tif and S_N_mask.tif, or with a folder `train` of them
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File of decisions; written anew when it is not there
    #[arg(long, value_name = "FILE", default_value = "corrections.toml")]
    corrections: PathBuf,
    /// Frames with a difference under this are one picture
    #[arg(long, value_name = "N", default_value_t = DUPLICATES)]
    threshold: u32,
    /// Port of the page on 127.0.0.1; 0 = any that is free
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Decide every group that is still open by a rule, without a page
    #[arg(long, value_enum, value_name = "RULE")]
    auto: Option<Auto>,
    /// Forget decisions on frames or masks that are no longer in the data
    #[arg(long)]
    prune: bool,
}

/// Serves the page until it is stopped, or decides by a rule.
pub fn run(arguments: &Arguments) -> Result<()> {
    // Before a minute of reading: a port in use, a file with mistakes.
    let listener = match arguments.auto {
        None => Some(local_page::bind("--port", arguments.port)?),
        Some(_) => None,
    };
    let before = cases::load(&arguments.corrections)?;
    let data = load(&arguments.data)?;
    let scan = scan(&data, arguments.threshold, true);
    let (cases, former) = cases::find(&data, &scan, before.as_ref());
    let stale = former.len();
    let former = if arguments.prune { vec![] } else { former };
    let mut session = Session::new(arguments.corrections.clone(), data.digest.clone(), cases, former);
    outln!(
        "{} frames, {} groups under {} contradict themselves, {} of them resolved",
        data.frames.len(),
        session.cases().len(),
        grouped(arguments.threshold as usize),
        session.resolved()
    );
    if stale > 0 && arguments.prune {
        session.save().with_context(|| arguments.corrections.display().to_string())?;
        outln!("{stale} decisions on frames that are not in the data are forgotten");
    } else if stale > 0 {
        errln!(
            "warning: {}: {stale} decisions are on frames or masks that are not in {}; they are kept, and \
             `train` refuses them. --prune forgets them",
            arguments.corrections.display(),
            arguments.data.display()
        );
    }
    match (arguments.auto, listener) {
        (Some(rule), _) => auto(rule, &data, &mut session),
        (None, Some(listener)) => serve(listener, data, session, &arguments.data),
        (None, None) => Ok(()),
    }
}

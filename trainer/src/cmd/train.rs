//! `train`: trains a network, then evaluates it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::INTERRUPTED;
use super::evaluate;
use crate::data::{Dataset, drafts};
use crate::net::Cost;
use crate::train::{Outcome, Settings, train, watch};

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train train --config configs/train.toml
  nervelight-train train --config configs/train.toml --resume
  nervelight-train train --config configs/train.toml --watch     # and http://127.0.0.1:6007

Ctrl-C ends after the batch under way and keeps a checkpoint; --resume goes on from there. Then only
threads, device, save_every and, unless the schedule is \"cosine\", epochs may change. run, data and
corrections may be other paths to the same files.")]
pub struct Arguments {
    /// Settings of the run; configs/train.toml explains every key
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Go on where the run stopped
    #[arg(long)]
    resume: bool,
    /// Show the run on a page at this port of 127.0.0.1
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = watch::PORT)]
    watch: Option<u16>,
}

/// Trains until the run ends or Ctrl-C stops it.
pub fn run(arguments: &Arguments) -> Result<Outcome> {
    let settings = Settings::load(&arguments.config)?;
    Settings::hints(&arguments.config)?.iter().for_each(|hint| errln!("hint: {hint}"));
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        // The second time, there and then.
        if asked.swap(true, Ordering::Relaxed) {
            watch::restore();
            // Without destructors: libtorch's would pull away what its threads still compute with.
            signal_hook::low_level::exit(INTERRUPTED.into());
        }
        // The screen says so itself.
        if !watch::shown() {
            errln!("\nstopping after this batch; Ctrl-C again to stop at once");
        }
    })
    .context("cannot listen for Ctrl-C")?;

    if let Some(notice) = drafts::notice(&settings.data)? {
        errln!("{notice}");
    }
    let data = Dataset::open(&settings.data, settings.corrections.as_deref())?;
    if let Some(applied) = &data.corrections {
        outln!("{applied}");
    }
    outln!("{} frames of {} patients", data.frames.len(), data.patients().len());
    let network = settings.network()?;
    let cost = Cost::of(&network, data.height, data.width);
    outln!("{} at width {}: {cost}", network.name, network.width);
    let options = watch::Options { screen: watch::screen_possible(), port: arguments.watch };
    let outcome = train(&settings, &data, arguments.resume, options, &stop)?;
    match outcome {
        Outcome::Finished => {}
        Outcome::AlreadyFinished => {
            let run = settings.run.display();
            outln!(
                "{run}: already finished: raise epochs to go on, but with the cosine schedule, which ends with its run"
            );
        }
        Outcome::Stopped => {
            outln!("stopped: no lower validation loss in {} epochs; the best is kept", settings.stop_after)
        }
        Outcome::Interrupted => outln!("interrupted; continue with --resume"),
    }
    let due = match outcome {
        Outcome::Finished | Outcome::Stopped => true,
        Outcome::AlreadyFinished => evaluate::is_due(&settings.run),
        Outcome::Interrupted => false,
    };
    if due && let Err(error) = evaluate::of_run(&settings.run, &data) {
        // The network is there; only its report is not.
        errln!("warning: no report: {error:#}");
    }
    Ok(outcome)
}

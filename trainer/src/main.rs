//! `nervelight-train`: makes data, trains, evaluates and exports the nerve segmentation network.

#![warn(clippy::print_stderr, clippy::print_stdout)]

#[macro_use(errln, out, outln)]
extern crate nervelight_engines;

mod adam;
mod analyze;
mod average;
mod checkpoint;
mod clip;
mod compare;

mod cost;
mod curves;
mod data;
mod difference;
mod evaluate;
mod export;
mod exported;
mod fold;
mod folds;
#[cfg(test)]
mod full_disk;
mod golden;
mod init;
mod judge;
mod layers;
mod local;
mod loss;
mod memory;
mod metrics;
mod module;
mod network;
mod onnx;
mod overlay;
mod phantom;

#[cfg(all(test, feature = "tensorrt-rtx"))]
mod plans;
mod point;
mod predict;
mod progress;
mod quantize;
mod report;
mod resume;
mod right_engine;
mod rng;
mod run;
mod schedule;
mod settings;
mod teacher;
mod train;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use nervelight_engines::say;

use cost::Cost;
use data::Dataset;
use settings::Settings;
use train::Outcome;

/// Exit code of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a data set of synthetic frames
    Phantom(phantom::Arguments),
    /// Find what is wrong with a data set
    #[command(subcommand)]
    Analyze(analyze::Command),
    /// Draw folds for training and validation
    Split(folds::Arguments),
    /// Fail when a patient or a near-duplicate crosses the folds of a split
    CheckSplit(folds::CheckArguments),
    /// Train a network
    Train(TrainArguments),
    /// Show a run's curves on a local page
    Watch(watch::Arguments),
    /// Judge a trained network by frame and by patient
    Evaluate(evaluate::Arguments),
    /// Set two evaluations against each other
    Compare(compare::Arguments),
    /// Write a trained network as a model bundle
    Export(export::Arguments),
    /// Add precisions to a bundle
    Quantize(quantize::Arguments),
    /// Compare every layer in ONNX Runtime with the trained network
    Layers(layers::Arguments),
}

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train train --config configs/train.toml
  nervelight-train train --config configs/train.toml --resume
  nervelight-train train --config configs/train.toml --watch     # and http://127.0.0.1:6007

Ctrl-C ends after the batch under way and keeps a checkpoint; --resume goes on from there.
Only epochs (not with the cosine schedule), threads, device and save_every may change then; run, data and
corrections may be written otherwise.")]
struct TrainArguments {
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

fn main() -> ExitCode {
    memory::keep();
    let result = match Cli::parse().command {
        Command::Phantom(arguments) => phantom::run(&arguments).map(done),
        Command::Analyze(command) => analyze::run(&command).map(done),
        Command::Split(arguments) => folds::split(&arguments).map(done),
        Command::CheckSplit(arguments) => folds::check(&arguments).map(done),
        Command::Evaluate(arguments) => evaluate::run(&arguments).map(done),
        Command::Compare(arguments) => compare::run(&arguments).map(done),
        Command::Watch(arguments) => watch::run(&arguments).map(done),
        Command::Export(arguments) => export::run(&arguments).map(done),
        Command::Quantize(arguments) => quantize::run(&arguments).map(done),
        Command::Layers(arguments) => layers::run(&arguments).map(done),
        Command::Train(arguments) => train(&arguments),
    };
    // Only now: what a full disk does not take is no reason to lose the rest of the work.
    let result = result.and_then(|outcome| match say::lost() {
        None => Ok(outcome),
        Some(error) => bail!("some of the output is missing: standard output cannot be written ({error})"),
    });
    match result {
        Ok(Outcome::Finished | Outcome::AlreadyFinished | Outcome::Stopped) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            errln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn done(_: ()) -> Outcome {
    Outcome::Finished
}

fn train(arguments: &TrainArguments) -> Result<Outcome> {
    let settings = Settings::load(&arguments.config)?;
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

    let data = Dataset::open(&settings.data, settings.corrections.as_deref())?;
    if let Some(applied) = &data.corrections {
        outln!("{applied}");
    }
    outln!("{} frames of {} patients", data.frames.len(), data.patients().len());
    let network = settings.network()?;
    let cost = Cost::of(&network, data.height, data.width);
    outln!("{} at width {}: {cost}", network.name, network.width);
    let options = watch::Options { screen: watch::screen_possible(), port: arguments.watch };
    let outcome = train::train(&settings, &data, arguments.resume, options, &stop)?;
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

//! The command line: one file a subcommand, which reads its arguments, calls the rooms, and prints.
//!
//! Uses every other room.

mod analyze;
mod check_split;
mod compare;
mod evaluate;
mod export;
mod import;
mod keygen;
mod layers;
mod phantom;
mod push;
mod quantize;
mod sign;
mod split;
mod train;
mod watch;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Parser, Subcommand};
use nervelight_engines::say;

use crate::train::Outcome;
use crate::util::{cuda, memory};

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
    /// Make a data set of DICOM cines
    Import(import::Arguments),
    /// Find what is wrong with a data set
    #[command(subcommand)]
    Analyze(analyze::Command),
    /// Draw folds for training and validation
    Split(split::Arguments),
    /// Fail when a patient or a near-duplicate crosses the folds of a split
    CheckSplit(check_split::Arguments),
    /// Train a network
    Train(train::Arguments),
    /// Show a run's curves on a local page
    Watch(watch::Arguments),
    /// Evaluate a trained network by frame and by patient
    Evaluate(evaluate::Arguments),
    /// Compare two evaluations of the same frames
    Compare(compare::Arguments),
    /// Write a trained network as a model bundle
    Export(export::Arguments),
    /// Make a key pair to sign bundles with
    Keygen(keygen::Arguments),
    /// Give a bundle a serial and a signature
    Sign(sign::Arguments),
    /// Put a bundle into a registry that carts follow
    Push(push::Arguments),
    /// Add precisions to a bundle
    Quantize(quantize::Arguments),
    /// Compare every layer in ONNX Runtime with the trained network
    Layers(layers::Arguments),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    memory::keep();
    cuda::exact();
    let result = match Cli::parse().command {
        Command::Phantom(arguments) => phantom::run(&arguments).map(done),
        Command::Import(arguments) => import::run(&arguments).map(done),
        Command::Analyze(command) => analyze::run(&command).map(done),
        Command::Split(arguments) => split::run(&arguments).map(done),
        Command::CheckSplit(arguments) => check_split::run(&arguments).map(done),
        Command::Evaluate(arguments) => evaluate::run(&arguments).map(done),
        Command::Compare(arguments) => compare::run(&arguments).map(done),
        Command::Watch(arguments) => watch::run(&arguments).map(done),
        Command::Export(arguments) => export::run(&arguments).map(done),
        Command::Keygen(arguments) => keygen::run(&arguments).map(done),
        Command::Sign(arguments) => sign::run(&arguments).map(done),
        Command::Push(arguments) => push::run(&arguments).map(done),
        Command::Quantize(arguments) => quantize::run(&arguments).map(done),
        Command::Layers(arguments) => layers::run(&arguments).map(done),
        Command::Train(arguments) => train::run(&arguments),
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

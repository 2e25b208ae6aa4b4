//! `nervelightd`: live nerve segmentation on an ultrasound cart.

#![warn(clippy::print_stderr, clippy::print_stdout)]

#[macro_use(errln, out, outln)]
extern crate nervelight_engines;

mod bench;
mod build;
mod capture;
mod colour;
mod config;
mod crop;
mod damage;
mod display;
mod energy;
mod engines;
mod figures;
mod frame;
mod http;
mod infer;
mod log;
mod mask;
#[cfg(feature = "tensorrt")]
mod nvml;
mod overlay;
mod phantom;
mod run;
mod signals;
mod slot;
mod stamp;
mod stream;
mod way;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nervelight_engines::say;

/// Shows where the nerve is, live, on an ultrasound cart.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Segment the source's frames and show or record them.
    #[command(after_help = "Example:\n  nervelightd run --config configs/cart.toml")]
    Run {
        /// TOML file; configs/cart.toml explains every key.
        #[arg(long)]
        config: PathBuf,
    },
    /// Check a configuration, its model and its engine, and print the pipelines it would run.
    #[command(after_help = "Example:\n  nervelightd check --config configs/cart.toml")]
    Check {
        /// TOML file; configs/cart.toml explains every key.
        #[arg(long)]
        config: PathBuf,
    },
    /// Build the TensorRT engine of a bundle for this machine, ahead of the first start.
    #[command(after_help = "Example:\n  nervelightd build --bundle nerve.bundle --precision fp16")]
    Build(build::Arguments),
    /// List the engines that were built on this machine, verify them, and remove those of no use.
    #[command(after_help = "Example:\n  nervelightd engines --prune")]
    Engines(engines::Arguments),
    /// Measure every backend and precision of a bundle on this machine, the engine alone and the pipeline.
    #[command(after_help = "Example:\n  nervelightd bench --bundle nerve.bundle --json bench.json")]
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = log::start();
    let is_run = matches!(arguments.command, Command::Run { .. });
    let done = match arguments.command {
        Command::Run { config } => run::run(&config),
        Command::Check { config } => run::check(&config),
        Command::Build(arguments) => build::build(&arguments),
        Command::Engines(arguments) => engines::engines(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
    };
    // What was logged comes before the last word.
    drop(log);
    let done = done.and_then(|()| match say::lost() {
        // The video matters, its summary does not.
        Some(error) if !is_run => {
            Err(anyhow::anyhow!("some of the output is missing: standard output cannot be written ({error})"))
        }
        _ => Ok(()),
    });
    if let Err(error) = &done {
        errln!("nervelightd: {error:#}");
    }
    if infer::is_abandoned() {
        // Without destructors: libraries would be torn down under the thread that is still in them.
        signal_hook::low_level::exit(done.is_err().into());
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! `nervelightd`: live nerve segmentation on an ultrasound cart.

mod bench;
mod build;
mod capture;
mod check;
mod config;
mod crop;
mod energy;
mod engines;
mod figures;
mod frame;
mod infer;
mod mask;
#[cfg(feature = "tensorrt")]
mod nvml;
mod overlay;
mod phantom;
mod preview;
mod redact;
mod run;
mod slot;
mod stream;
mod way;
mod web;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

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
    #[command(after_help = "Example:\n  nervelightd check --config configs/cart.toml --deep")]
    Check {
        /// TOML file; configs/cart.toml explains every key.
        #[arg(long)]
        config: PathBuf,
        /// Open the source too, and say what frames it gives.
        #[arg(long)]
        deep: bool,
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
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(redact::log)
        .with_ansi(colours)
        .with_target(false)
        .init();
    let done = match Arguments::parse().command {
        Command::Run { config } => run::run(&config),
        Command::Check { config, deep } => run::check(&config, deep),
        Command::Build(arguments) => build::build(&arguments),
        Command::Engines(arguments) => engines::engines(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nervelightd: {}", redact::redact(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

//! `nervelightd`: live nerve segmentation on an ultrasound cart.

#![warn(clippy::print_stderr, clippy::print_stdout)]

#[macro_use(errln, out, outln)]
extern crate nervelight_engines;

mod cmd;
mod config;
mod frame;
mod infer;
mod log;
mod path;
mod pipeline;
mod redact;
mod sink;
mod source;
mod status;
mod supervise;
mod web;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use nervelight_engines::{EngineError, say};

use crate::cmd::{bench, build, check, engines, options, run};

/// Exit code of a failure.
const FAILURE: u8 = 1;
/// Exit code when the GPU is lost to this process and a new process may have it: EX_TEMPFAIL of sysexits.h.
const DEVICE_LOST: u8 = 75;

/// Shows where the nerve is, live, on an ultrasound cart.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    log: log::Style,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Segment the source's frames and show or record them.
    #[command(after_help = "\
Examples:
  nervelightd run --source phantom                  # synthetic ultrasound, on the page at http://127.0.0.1:8321
  nervelightd run --source clip.mp4 --bundle nerve.bundle --record out.mp4
  nervelightd run --config configs/cart.toml")]
    Run(options::Wishes),
    /// Check a configuration, its model and its engine, and print the pipelines it would run.
    #[command(after_help = "Example:\n  nervelightd check --config configs/cart.toml --deep")]
    Check {
        #[command(flatten)]
        wishes: options::Wishes,
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
    /// Print what completes commands and options in a shell.
    #[command(after_help = "Example:\n  nervelightd completions bash >/etc/bash_completion.d/nervelightd")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = log::start(&arguments.log);
    let is_run = matches!(arguments.command, Command::Run(_));
    let done = match arguments.command {
        Command::Run(wishes) => run::run(&wishes),
        Command::Check { wishes, deep } => check::check(&wishes, deep),
        Command::Completions { shell } => {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Arguments::command(), "nervelightd", &mut script);
            out!("{}", String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Build(arguments) => build::build(&arguments),
        Command::Engines(arguments) => engines::engines(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
    };
    if let (Err(error), log::Format::Json) = (&done, arguments.log.format) {
        tracing::error!("{error:#}");
    }
    // What was logged comes before the last word.
    drop(log);
    let done = done.and_then(|()| match say::lost() {
        // The video matters, its summary does not.
        Some(error) if !is_run => {
            Err(anyhow::anyhow!("some of the output is missing: standard output cannot be written ({error})"))
        }
        _ => Ok(()),
    });
    let code = match done {
        Ok(()) => 0,
        Err(error) => {
            errln!("nervelightd: {}", redact::redact(&format!("{error:#}")));
            let is_device_lost = error.is::<infer::DeviceLost>()
                || error.downcast_ref::<EngineError>().is_some_and(EngineError::is_device_lost);
            if is_device_lost {
                errln!("nervelightd: this process cannot use its GPU any more; start it again");
            }
            if is_device_lost { DEVICE_LOST } else { FAILURE }
        }
    };
    infer::exit_if_left_at_work(code);
    code.into()
}

//! `nervelightd`: live nerve segmentation on an ultrasound cart.

#![warn(clippy::print_stderr, clippy::print_stdout)]

#[macro_use(errln, out, outln)]
extern crate nervelight_engines;

mod client;
mod cmd;
mod config;
mod control;
mod deploy;
mod exit;
mod follow;
mod frame;
mod harvest;
mod igtl;
mod infer;
mod lock;
mod log;
mod model;
mod path;
mod pipeline;
mod redact;
mod secret;
mod sink;
mod source;
mod status;
mod supervise;
mod tls;
mod upload;
mod web;
mod writable;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use nervelight_engines::{EngineError, say, telemetry};

use crate::cmd::{bench, build, cert, check, completions, engines, models, options, run, token, verify};

/// Exit code of a failure.
const FAILURE: u8 = 1;
/// Exit code when the GPU is lost to this process and a new process may have it: EX_TEMPFAIL of sysexits.h.
const DEVICE_LOST: u8 = 75;

/// Shows where the nerve is, live, on an ultrasound cart.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    log: log::LogOptions,
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
    Run(options::RunOptions),
    /// Check a configuration, its model and its engine, and print the pipelines it would run.
    #[command(after_help = "Example:\n  nervelightd check --config configs/cart.toml --deep")]
    Check(check::Arguments),
    /// Build the TensorRT engine of a bundle for this machine, ahead of the first start.
    #[command(after_help = "Example:\n  nervelightd build --bundle nerve.bundle --precision fp16")]
    Build(build::Arguments),
    /// List the engines that were built on this machine, verify them, and remove those of no use.
    #[command(after_help = "Example:\n  nervelightd engines --prune")]
    Engines(engines::Arguments),
    /// Verify a bundle: its signature, every file, its golden frames.
    #[command(after_help = "\
Examples:
  nervelightd verify nerve.tar --keys keys/lab-2026.pub
  nervelightd verify nerve.tar --config /etc/nervelight/cart.toml   # as this cart would")]
    Verify(verify::Arguments),
    /// List the models that this machine stores, choose one, go back, remove the rest.
    #[command(after_help = "\
Examples:
  nervelightd models --config /etc/nervelight/cart.toml
  nervelightd models use 3f9a11c2 --store /var/lib/nervelight
  nervelightd models rollback --config /etc/nervelight/cart.toml
  nervelightd models list --carts carts.txt --token-file deploy.token
  nervelightd models shadow report --to http://127.0.0.1:8321")]
    Models(models::Arguments),
    /// List or export the crops that were kept for retraining.
    #[command(after_help = "\
Examples:
  nervelightd harvest list --config /etc/nervelight/cart.toml
  nervelightd harvest export --config /etc/nervelight/cart.toml --to /media/usb/cart7 --since 7d")]
    Harvest(cmd::harvest::Arguments),
    /// Measure every backend and precision of a bundle on this machine, the engine alone and the pipeline.
    #[command(after_help = "Example:\n  nervelightd bench --bundle nerve.bundle --json bench.json")]
    Bench(bench::Arguments),
    /// Send a bundle to carts, and see each through its deployment until it has kept the model or not.
    #[command(after_help = "\
Examples:
  nervelightd deploy nerve.bundle --to http://127.0.0.1:8321
  nervelightd deploy nerve.bundle --carts carts.txt --token-file deploy.token
  nervelightd deploy nerve.bundle --to 'https://cart7:8321#sha256=FINGERPRINT' --token-file deploy.token --json")]
    Deploy(cmd::deploy::Arguments),
    /// Make, list or revoke the tokens of those who may use page and API from elsewhere.
    #[command(after_help = "\
Examples:
  nervelightd token add alice --role deploy --file /var/lib/nervelight/tokens.json
  nervelightd token list
  nervelightd token revoke alice")]
    Token(token::Arguments),
    /// Make a certificate for the page, signed by itself; prints the fingerprint to check it by.
    #[command(after_help = "\
Example:
  nervelightd cert --host cart7.example.org --host 10.0.0.7 --out /var/lib/nervelight/tls")]
    Cert(cert::Arguments),
    /// Print what completes commands and options in a shell.
    #[command(after_help = "Example:\n  nervelightd completions bash >/etc/bash_completion.d/nervelightd")]
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    // SAFETY: the first line of the program; there is one thread.
    #[allow(unsafe_code)]
    unsafe {
        telemetry::forbid();
    }
    let Arguments { log: options, command } = Arguments::parse();
    let mut log = log::start(&options);
    let is_run = matches!(command, Command::Run(_));
    let done = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Build(arguments) => build::build(&arguments),
        Command::Engines(arguments) => engines::engines(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Models(arguments) => models::models(&arguments),
        Command::Harvest(arguments) => cmd::harvest::harvest(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Deploy(arguments) => cmd::deploy::deploy(&arguments),
        Command::Token(arguments) => token::token(&arguments),
        Command::Cert(arguments) => cert::cert(&arguments),
        Command::Completions(arguments) => {
            completions::completions(&arguments, &mut Arguments::command());
            Ok(())
        }
    };
    if let (Err(error), log::Format::Json) = (&done, options.format) {
        tracing::error!("{error:#}");
    }
    let done = done.and_then(|()| match say::lost() {
        // The video matters, its summary does not.
        Some(error) if !is_run => {
            Err(anyhow::anyhow!("some of the output is missing: standard output cannot be written ({error})"))
        }
        _ => Ok(()),
    });
    let code = done.map_or_else(|error| report(&error, &mut log), |()| 0);
    drop(log);
    exit::if_left_at_work(code);
    code.into()
}

/// Says on standard error why a subcommand failed; returns the exit code.
fn report(error: &anyhow::Error, log: &mut log::Log) -> u8 {
    log.say(&format!("nervelightd: {error:#}"));
    let is_device_lost = error.is::<infer::DeviceLost>()
        || error.downcast_ref::<EngineError>().is_some_and(EngineError::is_device_lost);
    if !is_device_lost {
        return FAILURE;
    }
    log.say("nervelightd: this process cannot use its GPU any more; start it again");
    DEVICE_LOST
}

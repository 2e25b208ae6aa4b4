//! The log: lines on standard error, written by a thread of its own. A terminal that has closed, a full disk or a reader
//! that sleeps keeps no frame waiting.

use std::io::{IsTerminal, stderr};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::redact;

/// What is logged, and how.
#[derive(Debug, clap::Args)]
pub struct LogOptions {
    /// Least level of log lines; the environment variable RUST_LOG, or else info, if absent.
    #[arg(long = "log-level", global = true, value_enum)]
    level: Option<Level>,
    /// A line of text or of JSON for each.
    #[arg(long = "log-format", global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// Starts the log; dropping what it returns writes the last lines.
pub fn start(options: &LogOptions) -> WorkerGuard {
    let filter = match options.level {
        Some(level) => EnvFilter::new(format!("{level:?}").to_lowercase()),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let (writer, guard) = tracing_appender::non_blocking(redact::log());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // It would report a failure on the very stream that failed, and panic.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    match options.format {
        Format::Text => log.init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    guard
}

//! The log: lines on standard error, written by a thread of its own. A terminal that has closed, a full disk or a reader
//! that sleeps keeps no frame waiting.

use std::io::{IsTerminal, stderr};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// Starts the log; dropping what it returns writes the last lines.
pub fn start() -> WorkerGuard {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = tracing_appender::non_blocking(stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // It would report a failure on the very stream that failed, and panic.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .init();
    guard
}

//! The log: lines on standard error, written by a thread of its own. A terminal that has closed, a full disk or a reader
//! that sleeps keeps no frame waiting, nor the program from its end.

use std::io::{self, IsTerminal, Write, stderr};

use nervelight_engines::say;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::redact::redact;

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

/// What libraries say of bytes that come from the network, which anybody may send.
const STRANGERS: &str = "str0m=error,sctp_proto=off";

/// The log, until it is dropped: that writes the last lines, and waits about a second for somebody to read them.
pub struct Log {
    writer: NonBlocking,
    _guard: WorkerGuard,
}

impl Log {
    /// Writes plain lines after all that was logged.
    pub fn say(&mut self, text: &str) {
        for line in text.lines() {
            // It is dropped only when 128,000 lines wait already.
            let _ = self.writer.write_all(line.as_bytes());
        }
    }
}

/// Starts the log.
pub fn start(options: &LogOptions) -> Log {
    let filter = match options.level {
        Some(level) => EnvFilter::new(format!("{level:?},{STRANGERS}").to_lowercase()),
        None => {
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("info,{STRANGERS}")))
        }
    };
    let (writer, guard) = tracing_appender::non_blocking(Writer);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer.clone())
        // It would report a failure on the very stream that failed, and panic.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    match options.format {
        Format::Text => log.init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    Log { writer, _guard: guard }
}

/// Standard error, without secrets and without what could harm a terminal. Each line comes whole, so that no secret is
/// cut in two.
struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stderr().write_all(clean(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

/// A line of the log as it may be shown.
fn clean(text: &str) -> String {
    let line = redact(text);
    // A line end inside of a line would let a name pass for a line of its own.
    let line = line.trim_end_matches('\n').replace('\n', "\n    ") + "\n";
    // The log's own colours stay, which are `ESC [ digits m`.
    let mut clean = String::with_capacity(line.len());
    for (i, part) in line.split('\u{1b}').enumerate() {
        let is_colour = part
            .strip_prefix('[')
            .and_then(|rest| rest.split_once('m'))
            .is_some_and(|(code, _)| code.chars().all(|c| c.is_ascii_digit() || c == ';'));
        clean += match (i, is_colour) {
            (0, _) => "",
            (_, true) => "\u{1b}",
            (_, false) => "\\u{1b}",
        };
        clean += &say::harmless(part);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_colours_and_nothing_else_that_a_terminal_obeys() {
        let line = "\u{1b}[31mERROR\u{1b}[0m user-pw=x \u{1b}]0;title\u{7} a\nb\n";
        let shown = clean(line);
        assert!(shown.starts_with("\u{1b}[31mERROR\u{1b}[0m user-pw=*** \\u{1b}]0;title"), "{shown:?}");
        assert!(shown.ends_with(" a\n    b\n") && !shown.contains('\u{7}'), "{shown:?}");
    }
}

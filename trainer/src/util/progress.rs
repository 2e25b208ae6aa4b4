//! Progress with rate and remaining time: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Time between lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Progress through a known number of frames.
#[derive(Debug)]
pub struct Progress {
    what: String,
    bar: ProgressBar,
    terminal: bool,
    begun: Instant,
    first: u64,
    said: Instant,
    /// Frames done when the last line was printed.
    told: u64,
    message: String,
}

impl Progress {
    /// Starts at frame `first` of `frames`.
    pub fn new(what: impl Into<String>, first: usize, frames: usize) -> Self {
        let (what, frames, first) = (what.into(), frames as u64, first as u64);
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(frames) } else { ProgressBar::hidden() };
        bar.set_length(frames);
        let template = "{prefix} {bar:30} {pos}/{len} {per_sec:.1} ETA {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what.clone());
        bar.set_position(first);
        let now = Instant::now();
        Self { what, bar, terminal, begun: now, first, said: now, told: first, message: String::new() }
    }

    /// Shows `message` behind the figures.
    pub fn say(&mut self, message: String) {
        self.bar.set_message(message.clone());
        self.message = message;
    }

    /// `frames` more are done.
    pub fn advance(&mut self, frames: usize) {
        self.bar.inc(frames as u64);
        if !self.terminal && self.said.elapsed() >= BETWEEN_LINES {
            self.said = Instant::now();
            self.told = self.bar.position();
            self.line();
        }
    }

    /// Clears the bar; elsewhere prints a last line.
    pub fn finish(self) {
        if self.terminal {
            self.bar.finish_and_clear();
        } else if self.told < self.bar.position() {
            self.line();
        }
    }

    fn line(&self) {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = (done - self.first) as f64 / seconds.max(1e-3);
        let left = Duration::from_secs_f64(all.saturating_sub(done) as f64 / rate.max(1e-3));
        let Self { what, message, .. } = self;
        errln!("{what}: {done}/{all}, {rate:.1} frames/s, {} left {message}", HumanDuration(left));
    }
}

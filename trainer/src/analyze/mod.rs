//! `analyze`: what is wrong with a data set, before anything is trained on it.

mod bounds;
pub mod chart;
mod file;
mod findings;
mod grey;
mod groups;
mod page;
mod pairs;
mod picture;
mod profile;
mod report;
mod resolve;
mod sad;
mod scan;
mod strip;
#[cfg(test)]
mod tests;
pub mod text;

use anyhow::Result;
use clap::Subcommand;

pub use pairs::Pair;

/// What to analyse.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare every pair of frames
    Scan(scan::Arguments),
    /// Write the state of a data set as one HTML file
    Report(report::Arguments),
    /// Decide between masks that contradict each other
    Resolve(resolve::Arguments),
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Scan(arguments) => scan::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Resolve(arguments) => resolve::run(arguments),
    }
}

/// Pairs of `frames` (rows of `width` pixels) whose sum of absolute differences is below `limit`.
pub fn below(frames: &[&[u8]], width: usize, limit: u32) -> Vec<Pair> {
    pairs::below(sad::Sad::detect(), frames, width, limit, &|_| ())
}

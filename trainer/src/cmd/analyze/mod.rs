//! `analyze`: what is wrong with a data set, before anything is trained on it.

mod report;
mod resolve;
mod review;
mod scan;
#[cfg(test)]
mod tests;

use anyhow::Result;
use clap::Subcommand;

/// What to analyse.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare every pair of frames
    Scan(scan::Arguments),
    /// Write the state of a data set as one HTML file
    Report(report::Arguments),
    /// Decide between masks that contradict each other
    Resolve(resolve::Arguments),
    /// Accept, correct or reject masks that a model drew
    Review(review::Arguments),
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Scan(arguments) => scan::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Resolve(arguments) => resolve::run(arguments),
        Command::Review(arguments) => review::run(arguments),
    }
}

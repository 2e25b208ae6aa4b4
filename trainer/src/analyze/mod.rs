//! `analyze`: what is wrong with a data set, before anything is trained on it.

mod bounds;
mod file;
mod groups;
mod pairs;
mod sad;
mod scan;

use anyhow::Result;
use clap::Subcommand;

/// What to analyse.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare every pair of frames
    Scan(scan::Arguments),
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Scan(arguments) => scan::run(arguments),
    }
}

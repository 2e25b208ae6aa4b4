//! `watch`: a run's curves on a local page.

use std::path::PathBuf;

use anyhow::Result;

use crate::train::watch::{PORT, serve_files};

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of a run: finished, stopped, or being trained elsewhere
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Port on 127.0.0.1
    #[arg(long, default_value = PORT)]
    port: u16,
}

/// Serves the page until Ctrl-C.
pub fn run(arguments: &Arguments) -> Result<()> {
    serve_files(&arguments.run, arguments.port)
}

//! `nervelightd run`: the source's frames, segmented and shown until they end or a signal comes.

use anyhow::{Context, Result};

use crate::cmd::options::RunOptions;
use crate::supervise;

/// Runs the daemon as the command line and its configuration say.
///
/// # Errors
/// What kept it from starting, what ended it early, and sinks that failed on the way.
pub fn run(options: &RunOptions) -> Result<()> {
    gst::init().context("GStreamer cannot be initialised")?;
    supervise::run(&options.read()?)
}

//! `nervelightd run`: the source's frames, segmented and shown until they end or a signal comes.

use anyhow::{Context, Result};

use crate::cmd::options::RunOptions;
use crate::cmd::outside;
use crate::supervise;

/// Runs the daemon as the command line and its configuration say.
///
/// # Errors
/// What kept it from starting, what ended it early, and sinks that failed on the way.
pub fn run(options: &RunOptions) -> Result<()> {
    gst::init().context("GStreamer cannot be initialised")?;
    let config = options.read()?;
    let name = |key: &str| options.option(key, config.sinks.len()).unwrap_or_else(|| key.to_owned());
    let mut findings = outside::files(&config);
    // A live video goes on without a recording, and the supervisor tries it again.
    findings.retain(|finding| !(finding.may_pass && config.source.is_live()));
    outside::all_good(findings, name)?;
    supervise::run(&config)
}

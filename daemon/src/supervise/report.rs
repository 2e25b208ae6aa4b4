//! The report: the figures of a run, written at its end.

use anyhow::{Context as _, Result};
use nervelight_engines::store::atomic::{self, Access};

use crate::config::Config;
use crate::status::Snapshot;

/// Writes the figures where the configuration says, if it does.
///
/// # Errors
/// When they cannot be written.
pub fn write(config: &Config, snapshot: &Snapshot) -> Result<()> {
    let Some(path) = &config.report else { return Ok(()) };
    let json = serde_json::to_vec_pretty(snapshot)?;
    // Renamed into its place: whole or not at all, and no link is followed.
    atomic::write(path, Access::Umask, &json)
        .with_context(|| format!("report.path: {} cannot be written", path.display()))
}

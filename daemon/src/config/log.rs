//! `[log]`: how often figures are logged.

use std::time::Duration;

use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLog {
    pub interval_s: u64,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { interval_s: 10 }
    }
}

impl RawLog {
    /// Time between lines of figures.
    pub fn resolve(&self, mistakes: &mut Mistakes) -> Duration {
        mistakes.check((1..=86_400).contains(&self.interval_s), "log.interval_s", "must be from 1 to 86400");
        Duration::from_secs(self.interval_s)
    }
}

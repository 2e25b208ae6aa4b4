//! `[sync]`: how masks and frames are matched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSync {
    pub mode: Option<SyncMode>,
    pub max_mask_age_ms: u64,
    pub engine_timeout_ms: u64,
}

impl Default for RawSync {
    fn default() -> Self {
        Self { mode: None, max_mask_age_ms: 200, engine_timeout_ms: 500 }
    }
}

/// How masks and frames are matched.
#[derive(Debug, Clone)]
pub struct Sync {
    /// The mode.
    pub mode: SyncMode,
    /// `latest`: a mask older than this is not shown.
    pub max_mask_age: Duration,
    /// An engine that takes longer for a frame counts as hung.
    pub engine_timeout: Duration,
}

/// Which frame a mask is shown on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// Each shown frame carries its own mask; frames that the engine has no time for are dropped.
    Exact,
    /// Every frame is shown at once with the newest mask.
    #[default]
    Latest,
}

impl RawSync {
    /// The section as used for a source that is live or not. A mask's age is time on the clock, and only a live source
    /// keeps to the clock.
    pub fn resolve(&self, is_live: bool, mistakes: &mut Mistakes) -> Sync {
        let ms = 1..=60_000;
        for (key, value) in [
            ("sync.max_mask_age_ms", self.max_mask_age_ms),
            ("sync.engine_timeout_ms", self.engine_timeout_ms),
        ] {
            mistakes.check(ms.contains(&value), key, "must be from 1 to 60000");
        }
        Sync {
            mode: self.mode.unwrap_or(if is_live { SyncMode::Latest } else { SyncMode::Exact }),
            max_mask_age: Duration::from_millis(self.max_mask_age_ms),
            engine_timeout: Duration::from_millis(self.engine_timeout_ms),
        }
    }
}

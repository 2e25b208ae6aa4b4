use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::precision::Precision;

/// What became of the build for a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What was built for what.
    pub key: Key,
    /// Precision of the model file.
    pub precision: Precision,
    /// `name version` of the model.
    pub model: String,
    /// Seconds since 1970.
    pub built: u64,
    /// How long the build took.
    pub seconds: f64,
    /// SHA-256 of the plan; of nothing when it was rejected.
    pub sha256: String,
    /// Size of the plan.
    pub bytes: u64,
    /// Why the golden frames rejected it. The plan was not kept; what is known need not be built again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ModelsError;
use crate::store::atomic::{self, Access};
use crate::store::disk;

/// The layout of `state.json` that this version reads and writes.
pub const SCHEMA: u32 = 1;
/// Bytes of the file, at most.
const LARGEST: u64 = 1 << 20;
/// Models that are remembered as good, at most.
const MOST_KEPT: usize = 8;

/// Which model runs, and what came before: the whole of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Layout of this file, [`SCHEMA`].
    pub schema: u32,
    /// Digest of the bundle that runs; none in a new store.
    pub active: Option<String>,
    /// Digest of the one before it.
    pub previous: Option<String>,
    /// The active one is being tried.
    pub probation: Option<Probation>,
    /// Least serial that is accepted.
    pub floor: u64,
    /// The last time that the store went back.
    pub rolled_back: Option<RolledBack>,
    /// Digests of models that were kept or chosen by a person, and not left since; the newest last.
    #[serde(default)]
    pub kept: Vec<String>,
}

/// A model is being tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probation {
    /// Digest of its bundle, the active one.
    pub digest: String,
    /// Number of the deployment.
    pub deployment: u64,
    /// Seconds since 1970.
    pub begun: u64,
    /// The daemon was stopped meanwhile, in order: the probation begins again.
    #[serde(default)]
    pub stopped: bool,
}

/// The store went back to the model before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolledBack {
    /// Digest of the bundle that was left.
    pub digest: String,
    /// Why.
    pub why: String,
    /// Seconds since 1970.
    pub when: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            active: None,
            previous: None,
            probation: None,
            floor: 0,
            rolled_back: None,
            kept: vec![],
        }
    }
}

impl State {
    /// The model with this digest has proven good, or a person says so: it may be gone back to.
    pub(super) fn approve(&mut self, digest: &str) {
        self.kept.retain(|kept| kept != digest);
        self.kept.push(digest.into());
        let too_many = self.kept.len().saturating_sub(MOST_KEPT);
        self.kept.drain(..too_many);
        self.rolled_back.take_if(|left| left.digest == digest);
    }

    /// The state in the file at `path`; none where there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ModelsError> {
        let io = |reason| ModelsError::Io { path: path.into(), reason };
        let mut text = vec![];
        match disk::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io)?.take(LARGEST).read_to_end(&mut text).map_err(io)?,
        };
        let malformed = |reason: String| ModelsError::State { path: path.into(), reason };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        if value["schema"] != SCHEMA {
            return Err(ModelsError::Schema { path: path.into(), found: value["schema"].to_string() });
        }
        let state: Self = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        let digests = [&state.active, &state.previous].into_iter().flatten().chain(&state.kept);
        if let Some(bad) = digests.into_iter().find(|digest| !crate::digest::is_sha256(digest)) {
            return Err(malformed(format!("{bad:?} is no digest")));
        }
        let tried = state.probation.as_ref().map(|probation| &probation.digest);
        if tried.is_some() && tried != state.active.as_ref() {
            return Err(malformed("the model on probation is not the active one".into()));
        }
        Ok(Some(state))
    }

    /// Replaces the file at `path`.
    pub(super) fn write(&self, path: &Path) -> Result<(), ModelsError> {
        let write = || atomic::write(path, Access::Everybody, &serde_json::to_vec_pretty(self)?);
        write().map_err(|reason| ModelsError::Io { path: path.into(), reason })
    }
}

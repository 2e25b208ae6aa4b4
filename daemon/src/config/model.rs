//! `[model]`: the bundle.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    pub bundle: Option<PathBuf>,
}

impl RawModel {
    /// Where the bundle is.
    pub fn resolve(&self, base: &Path, mistakes: &mut Mistakes) -> Option<PathBuf> {
        let Some(bundle) = self.bundle.as_ref().map(|path| base.join(path)) else {
            mistakes.add("model.bundle", "is missing: set it to the model's bundle, directory or tar");
            return None;
        };
        mistakes.check(bundle.exists(), "model.bundle", "does not exist. Check the path");
        Some(bundle)
    }
}

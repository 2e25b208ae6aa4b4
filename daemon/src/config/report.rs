//! `[report]`: where the figures of a run are written at its end.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::mistakes::{Mistakes, has_folder};

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawReport {
    pub path: Option<PathBuf>,
}

impl RawReport {
    /// Where to write it. It replaces what is there, so never the configuration, a video or a part of the `bundle`.
    pub fn resolve(&self, bundle: Option<&Path>, base: &Path, mistakes: &mut Mistakes) -> Option<PathBuf> {
        let path = base.join(self.path.as_ref()?);
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        mistakes.check(has_folder(&path), "report.path", "is in a folder that does not exist");
        mistakes.check(is_json, "report.path", "must end in .json");
        let is_in_bundle = bundle.is_some_and(|bundle| path.starts_with(bundle));
        mistakes.check(!is_in_bundle, "report.path", "is in the bundle. Choose another folder");
        Some(path)
    }
}

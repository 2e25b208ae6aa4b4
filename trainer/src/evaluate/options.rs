//! What is evaluated, and how.

use std::path::Path;

use anyhow::Result;

use crate::data::{Part, Split};
use crate::train::{RunDir, Settings, Which};

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which frames; none: the validation part of the data that was split, all of other data.
    pub part: Option<Part>,
    /// Which checkpoint of a run.
    pub checkpoint: Which,
    /// Least probability that counts as nerve, where it is given.
    pub threshold: Option<f32>,
    /// Least area of a nerve in pixels, where it is given.
    pub min_area: Option<u32>,
    /// Distance in pixels within which contours count as equal.
    pub tolerance: f64,
}

/// A run opened.
pub struct OpenedRun {
    /// Its directory.
    pub run: RunDir,
    /// What the user set.
    pub settings: Settings,
    /// Its folds.
    pub split: Split,
}

impl OpenedRun {
    /// The run in `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let (run, settings, split) = RunDir::open(path)?;
        Ok(Self { run, settings, split })
    }
}

//! `drafts.json`: what is known of each draft.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};

/// The folder of drafts in a data set.
pub const DRAFTS: &str = "drafts";
/// The file's name in there.
pub const NAME: &str = "drafts.json";
/// The version that is read and written.
const SCHEMA: u32 = 1;

/// Every draft of a data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drafts {
    schema: u32,
    /// In the order of their import.
    pub drafts: Vec<Draft>,
}

/// A frame with a mask that a model drew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// `S_N`
    pub name: String,
    /// S, the number of the case here.
    pub patient: u32,
    /// The case's name on the cart.
    pub case: String,
    /// The item's name on the cart.
    pub item: String,
    /// Items of one moment have this in common.
    pub event: String,
    /// Milliseconds since the case began.
    pub ms: u64,
    /// Why it was kept, such as `uncertain`.
    pub why: String,
    /// What the person who flagged it found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Mean entropy of the pixels that may be nerve, in bits.
    pub uncertainty: f64,
    /// Nerve in the draft, in pixels.
    pub area: usize,
    /// Width and height of a pixel in mm, where known.
    pub spacing_mm: Option<[f32; 2]>,
    /// What drew the mask.
    pub model: MadeBy,
    /// SHA-256 of the frame's 580x420 pixels, in hex.
    pub picture: String,
    /// SHA-256 of the draft's mask's, in hex.
    pub mask: String,
}

/// The model that drew a mask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// Name and version.
    pub name: String,
    /// The bundle's digest.
    pub digest: String,
}

impl Drafts {
    /// Those of the data set in `directory`; none where it has none.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn find(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(DRAFTS).join(NAME);
        if !path.exists() {
            return Ok(None);
        }
        let read = || -> Result<Self> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
        let drafts = read().with_context(|| {
            format!("{}: is no list of drafts; restore it, or import into another --to", path.display())
        })?;
        if drafts.schema != SCHEMA {
            let found = drafts.schema;
            bail!("{}: is of schema {found}, not {SCHEMA}; use a newer nervelight-train", path.display());
        }
        Ok(Some(drafts))
    }

    /// None yet.
    pub fn none() -> Self {
        Self { schema: SCHEMA, drafts: vec![] }
    }

    /// Replaces the file of the data set in `directory`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = directory.join(DRAFTS).join(NAME);
        let text = serde_json::to_vec_pretty(self)?;
        atomic::write(&path, Access::Umask, &text).with_context(|| format!("{}: write", path.display()))
    }
}

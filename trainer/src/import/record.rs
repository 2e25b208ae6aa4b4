//! `import.json`: where each frame of a data set came from. It names no file and no patient.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};

use super::place::Rectangle;

/// Its name.
pub const NAME: &str = "import.json";
/// The version that is read and written.
const SCHEMA: u32 = 1;

/// The record of a data set.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// Files that frames came from.
    pub sources: Vec<Source>,
    /// Frames, in the order of their import.
    pub frames: Vec<Frame>,
}

/// A file that frames came from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Source {
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// What it was: `dicom`.
    pub kind: String,
    /// How its pictures were coded.
    pub coding: String,
    /// The number of the patient here.
    pub patient: u32,
    /// Frames that it held.
    pub frames: u32,
}

/// A frame of the data set.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frame {
    /// `S_N`
    pub name: String,
    /// SHA-256 of the file that it came from.
    pub source: String,
    /// Its number in there, from 0.
    pub index: u32,
    /// Time after the first frame in there.
    pub time_ms: f64,
    /// The part of the file's frame that was taken.
    pub region: Rectangle,
    /// Pixels here for one of the file's.
    pub scale: f64,
    /// Width and height of a pixel here in mm; null where nobody knows.
    pub spacing_mm: Option<[f32; 2]>,
}

impl Record {
    /// The record in `directory`, or a new one.
    pub fn load(directory: &Path) -> Result<Self> {
        let path = directory.join(NAME);
        if !path.exists() {
            return Ok(Self { schema: SCHEMA, sources: vec![], frames: vec![] });
        }
        let read = || -> Result<Self> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
        let record = read().with_context(|| {
            format!("{}: is no record of imports; restore it, or choose another --to", path.display())
        })?;
        if record.schema != SCHEMA {
            bail!(
                "{}: is of schema {}, not {SCHEMA}; use a newer nervelight-train",
                path.display(),
                record.schema
            );
        }
        Ok(record)
    }

    /// Replaces the record in `directory`.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = directory.join(NAME);
        let text = serde_json::to_vec_pretty(self)?;
        atomic::write(&path, Access::Umask, &text).with_context(|| format!("{}: write", path.display()))
    }
}

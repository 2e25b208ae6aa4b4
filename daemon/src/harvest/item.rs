//! What is known of a picture that was kept.

use serde::{Deserialize, Serialize};

use crate::control::Reason;
use crate::harvest::figures::Figures;

/// The version that is written and read.
pub const SCHEMA: u32 = 1;

/// Why a picture was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The map is uncertain.
    Uncertain,
    /// The nerve's area jumped from one frame to the next; both are kept.
    AreaJump,
    /// Two models disagree.
    Disagreement,
    /// A person flagged the moment.
    Flagged,
}

impl Cause {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Uncertain, Self::AreaJump, Self::Disagreement, Self::Flagged];

    /// As it is called in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uncertain => "uncertain",
            Self::AreaJump => "area_jump",
            Self::Disagreement => "disagreement",
            Self::Flagged => "flagged",
        }
    }
}

/// A picture and why it was kept. All of it may leave the hospital: nothing says who was scanned, where or when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Version of this record.
    pub schema: u32,
    /// Pictures of one case may show one patient; those of others show another, or the same one on another occasion.
    pub case: String,
    /// Its own name, random as the case's.
    pub item: String,
    /// Pictures that were kept for one reason at one moment have this in common.
    pub event: String,
    /// Milliseconds since the case began.
    pub ms: u64,
    /// Why it was kept.
    pub why: Cause,
    /// What the person who flagged it found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// Dice of the two models that disagree.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dice: Option<f64>,
    /// Of the map.
    pub figures: Figures,
    /// The source's kind, such as `v4l2`.
    pub source: String,
    /// Columns of crop and map.
    pub width: usize,
    /// Rows of crop and map.
    pub height: usize,
    /// Width and height of a pixel in mm, where known.
    pub spacing_mm: Option<[f32; 2]>,
    /// What computed the map.
    pub model: MadeBy,
    /// SHA-256 of the crop's file, in hex.
    pub crop_sha256: String,
    /// SHA-256 of the map's file, in hex.
    pub map_sha256: String,
}

/// The model that computed a map, and how its maps are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// Name and version.
    pub name: String,
    /// SHA-256 of the bundle's manifest, in hex.
    pub digest: String,
    /// As it was computed, such as `fp32`.
    pub precision: String,
    /// Least value of a map (probability x 255) that is nerve.
    pub threshold: u8,
    /// Least area of a nerve in pixels.
    pub min_area: u32,
}

/// An item in the cart's own folder. When it was kept is for the cart alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What may leave.
    #[serde(flatten)]
    pub item: Item,
    /// Seconds since 1970.
    pub at: u64,
}

/// A name that says nothing, of `bytes` random bytes in hex.
pub fn random_name(bytes: usize) -> String {
    let mut random = [0; 16];
    let bytes = bytes.min(random.len());
    // The system's generator blocks at boot at most, and then has what was asked for.
    let _ = rustix::rand::getrandom(&mut random[..bytes], rustix::rand::GetRandomFlags::empty());
    nervelight_engines::digest::hex(&random[..bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_random() {
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| random_name(8)).collect();
        assert!(names.len() == 100 && names.iter().all(|name| name.len() == 16), "{names:?}");
    }
}

//! What was decided about which frames.

use serde::{Deserialize, Serialize};

use crate::util::sha256;

/// Which mask the frames of a decision get, those that are dropped aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// That of one of them.
    Keep,
    /// Nerve where any of them has it.
    Union,
    /// Nerve where more than half of those that have any have it. None when fewer than half have any.
    Majority,
    /// None: there is no nerve.
    Empty,
    /// Each its own.
    Own,
}

impl Rule {
    /// The mask of frames whose masks are `masks`, 1 where nerve is. None for [`Rule::Keep`] and
    /// [`Rule::Own`], which make none, and for a majority that there is not: half of the frames have
    /// a nerve, or no pixel is in more than half of them.
    pub fn combine(self, masks: &[&[u8]]) -> Option<Box<[u8]>> {
        let pixels = masks.first().map_or(0, |mask| mask.len());
        let votes = |pixel: usize| masks.iter().filter(|mask| mask[pixel] > 0).count();
        match self {
            Self::Keep | Self::Own => None,
            Self::Empty => Some(vec![0; pixels].into()),
            Self::Union => Some((0..pixels).map(|pixel| u8::from(votes(pixel) > 0)).collect()),
            Self::Majority => {
                let nerves = masks.iter().filter(|mask| mask.iter().any(|&pixel| pixel > 0)).count();
                match (2 * nerves).cmp(&masks.len()) {
                    std::cmp::Ordering::Less => Self::Empty.combine(masks),
                    std::cmp::Ordering::Equal => None,
                    std::cmp::Ordering::Greater => {
                        let mask: Box<[u8]> =
                            (0..pixels).map(|pixel| u8::from(2 * votes(pixel) > nerves)).collect();
                        mask.contains(&1).then_some(mask)
                    }
                }
            }
        }
    }
}

/// A frame with its mask, known by content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `S_N` when it was decided on. Tells frames of equal content apart.
    pub name: String,
    /// SHA-256 of its pixels, in hex.
    pub picture: String,
    /// SHA-256 of its mask's pixels, in hex.
    pub mask: String,
    /// Its mask is the one to keep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// It is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop: bool,
}

impl Subject {
    /// Of a frame and its mask, pixels as recorded.
    pub fn of(name: &str, picture: &[u8], mask: &[u8]) -> Self {
        let [picture, mask] = [picture, mask].map(sha256);
        Self { name: name.into(), picture, mask, keep: false, drop: false }
    }

    pub(super) fn key(&self) -> (&str, &str) {
        (&self.picture, &self.mask)
    }
}

/// What becomes of some frames of one picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The mask they get.
    pub rule: Rule,
    /// Who decided: `person`, or the rule that did.
    #[serde(default)]
    pub by: String,
    /// The frames.
    pub frame: Vec<Subject>,
}

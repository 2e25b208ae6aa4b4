//! `[region]`: what the model sees of a frame, or `region = "auto"`, which finds it.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRegion {
    pub x: Option<usize>,
    pub y: Option<usize>,
    pub pad: bool,
    pub auto: bool,
    pub scale: bool,
    pub spacing_mm: Option<[f32; 2]>,
    pub skin_y: Option<usize>,
}

/// Whether the ultrasound picture is looked for in the frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finding {
    /// It is, and the crop is taken from its middle.
    pub auto: bool,
    /// It is scaled to 580x420.
    pub scale: bool,
    /// Width and height of a pixel of the frames in millimetres.
    pub spacing_mm: Option<[f32; 2]>,
}

impl RawRegion {
    /// Whether it can be cut out of 4:2:0 video. Whether it fits into the frames only their size can say.
    pub fn check(&self, mistakes: &mut Mistakes) {
        let even = |n: Option<usize>| n.is_none_or(|n| n % 2 == 0);
        let must_be_even = "must be even: chroma has half the resolution. Use the next even number";
        mistakes.check(even(self.x), "region.x", must_be_even);
        mistakes.check(even(self.y), "region.y", must_be_even);
        let is_spacing = |mm: f32| (0.001..=10.0).contains(&mm);
        mistakes.check(
            self.spacing_mm.is_none_or(|spacing| spacing.into_iter().all(is_spacing)),
            "region.spacing_mm",
            "must be two numbers from 0.001 to 10: the width and height of a pixel in millimetres",
        );
        let twice = "has no meaning with region.auto = true. Remove one of them";
        mistakes.check(self.x.is_none() || !self.auto, "region.x", twice);
        mistakes.check(self.y.is_none() || !self.auto, "region.y", twice);
        let why = "needs region.auto = true: only what is found can be scaled";
        mistakes.check(self.auto || !self.scale, "region.scale", why);
        mistakes.check(
            self.spacing_mm.is_some() || !self.scale,
            "region.spacing_mm",
            "is missing: with region.scale = true set it to the width and height of a pixel in millimetres, such as \
             [0.1, 0.1], so that what is scaled can still be measured",
        );
    }

    /// What is looked for.
    pub fn finding(&self) -> Finding {
        Finding { auto: self.auto, scale: self.scale, spacing_mm: self.spacing_mm }
    }
}

/// `"auto"`, or the table.
pub fn word_or_table<'de, D: Deserializer<'de>>(from: D) -> Result<RawRegion, D::Error> {
    struct WordOrTable;

    impl<'de> Visitor<'de> for WordOrTable {
        type Value = RawRegion;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"auto\" or a table")
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<RawRegion, E> {
            match word {
                "auto" => Ok(RawRegion { auto: true, ..RawRegion::default() }),
                _ => Err(E::custom("`region` is \"auto\" or a table with keys such as x and y")),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawRegion, A::Error> {
            RawRegion::deserialize(MapAccessDeserializer::new(table))
        }
    }

    from.deserialize_any(WordOrTable)
}

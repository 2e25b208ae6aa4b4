//! `[region]`: what the model sees of a frame. It is used as it is written.

use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRegion {
    pub x: Option<usize>,
    pub y: Option<usize>,
    pub pad: bool,
    pub spacing_mm: Option<[f32; 2]>,
    pub skin_y: Option<usize>,
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
    }
}

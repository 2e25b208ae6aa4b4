//! `[overlay]`: how the nerve is drawn.

use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOverlay {
    pub enabled: bool,
    pub opacity: f32,
    pub color: String,
    pub outline: bool,
    pub threshold: Option<f32>,
    pub min_area: Option<u32>,
    pub steady: bool,
    pub measure: bool,
}

impl Default for RawOverlay {
    fn default() -> Self {
        Self {
            enabled: true,
            opacity: 0.35,
            color: "#ffd000".into(),
            outline: true,
            threshold: None,
            min_area: None,
            steady: false,
            measure: false,
        }
    }
}

/// How the nerve is drawn.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Whether it is, at the start.
    pub enabled: bool,
    /// Weight of the colour in the tint, 0..1.
    pub opacity: f32,
    /// R'G'B'.
    pub colour: [u8; 3],
    /// One-pixel outline.
    pub outline: bool,
    /// Least probability; the bundle's when absent.
    pub threshold: Option<f32>,
    /// Least area in pixels; the bundle's when absent.
    pub min_area: Option<u32>,
    /// Maps are averaged over time, along the tissue's motion.
    pub steady: bool,
    /// The nerve is measured, where the frames' pixel spacing is known.
    pub measure: bool,
}

impl RawOverlay {
    /// The section as used; none if its colour is none.
    pub fn resolve(&self, mistakes: &mut Mistakes) -> Option<Overlay> {
        mistakes.check((0.0..=1.0).contains(&self.opacity), "overlay.opacity", "must be from 0.0 to 1.0");
        let is_probability = self.threshold.is_none_or(|t| t > 0.0 && t <= 1.0);
        mistakes.check(is_probability, "overlay.threshold", "must be over 0.0, up to 1.0");
        let colour = parse_colour(&self.color);
        mistakes.check(colour.is_some(), "overlay.color", "must be a colour like \"#ffd000\"");
        Some(Overlay {
            enabled: self.enabled,
            opacity: self.opacity,
            colour: colour?,
            outline: self.outline,
            threshold: self.threshold,
            min_area: self.min_area,
            steady: self.steady,
            measure: self.measure,
        })
    }
}

fn parse_colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii())?;
    let byte = |i: usize| u8::from_str_radix(&digits[i..i + 2], 16).ok();
    Some([byte(0)?, byte(2)?, byte(4)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_parsed() {
        assert_eq!(parse_colour("#ffd000"), Some([255, 208, 0]));
        for bad in ["ffd000", "#ffd00", "#ffd0000", "#ggd000", "yellow", "#ééé"] {
            assert_eq!(parse_colour(bad), None, "{bad}");
        }
    }
}

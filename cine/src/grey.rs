//! Grey of any depth as 8 bits.
//!
//! - Pixels of 8 bits are taken as they are; a window would change the greys that the network sees.
//! - Deeper ones go through the file's rescale and window (PS3.3, C.11.2), as a viewer shows them. Where there is no
//!   window, the whole stored range becomes 0..255.
//! - MONOCHROME1 is turned around: white is always the strong echo.

use dicom_dictionary_std::tags;

use crate::attributes::Attributes;
use crate::error::Problem;

/// The 8-bit grey of every stored value.
pub struct GreyMap {
    table: Vec<u8>,
    shift: u32,
    mask: u16,
}

/// How a pixel's bits lie in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// 8 or 16.
    pub allocated: u32,
    /// 1 to `allocated`.
    pub stored: u32,
    /// The highest bit that is used.
    pub high: u32,
    /// Two's complement.
    pub is_signed: bool,
}

impl Depth {
    /// As the attributes say.
    pub fn of(top: &Attributes) -> Result<Self, Problem> {
        let allocated = top.needed(tags::BITS_ALLOCATED, "bits allocated")?;
        if ![8, 16].contains(&allocated) {
            return Err(Problem::Unsupported {
                what: format!("pixels of {allocated} bits"),
                remedy: "Export it with 8 or 16 bits a pixel".into(),
            });
        }
        let stored = top.needed(tags::BITS_STORED, "bits stored")?;
        let high = top.int(tags::HIGH_BIT).map_or(stored.wrapping_sub(1), |high| high as u32);
        if !(1..=allocated).contains(&stored) || high >= allocated || high + 1 < stored {
            return Err(Problem::Impossible { name: "bits stored", value: stored.into() });
        }
        Ok(Self { allocated, stored, high, is_signed: top.int(tags::PIXEL_REPRESENTATION) == Some(1) })
    }

    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        self.allocated as usize / 8
    }
}

impl GreyMap {
    /// Of a file's attributes; `is_inverted` for MONOCHROME1.
    pub fn of(top: &Attributes, depth: Depth, is_inverted: bool) -> Self {
        let count = 1_i64 << depth.stored;
        let least = if depth.is_signed { -count / 2 } else { 0 };
        let (slope, intercept) = (
            top.real(tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0),
            top.real(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        );
        let window = Window::of(top).filter(|_| depth.stored > 8);
        let grey = |stored: i64| {
            let value = if depth.is_signed && stored >= count / 2 { stored - count } else { stored };
            let share = match &window {
                Some(window) => window.share(value as f64 * slope + intercept),
                None => (value - least) as f64 / (count - 1) as f64,
            };
            let grey = (share.clamp(0.0, 1.0) * 255.0).round() as u8;
            if is_inverted { 255 - grey } else { grey }
        };
        let shift = depth.high + 1 - depth.stored;
        Self { table: (0..count).map(grey).collect(), shift, mask: (count - 1) as u16 }
    }

    /// The grey of a pixel as it lies in the file.
    #[inline]
    pub fn grey(&self, pixel: u16) -> u8 {
        self.table[usize::from((pixel >> self.shift) & self.mask)]
    }
}

/// What is shown from black to white.
struct Window {
    center: f64,
    width: f64,
    function: Function,
}

enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Window {
    /// The file's first window.
    fn of(top: &Attributes) -> Option<Self> {
        let (center, width) = (top.real(tags::WINDOW_CENTER)?, top.real(tags::WINDOW_WIDTH)?);
        let function = match top.text(tags::VOILUT_FUNCTION).as_str() {
            "LINEAR_EXACT" => Function::LinearExact,
            "SIGMOID" => Function::Sigmoid,
            _ => Function::Linear,
        };
        (width >= 1.0 || (width > 0.0 && !matches!(function, Function::Linear))).then_some(Self {
            center,
            width,
            function,
        })
    }

    /// From 0 for black to 1 for white, beyond both outside of the window.
    fn share(&self, value: f64) -> f64 {
        let Self { center, width, .. } = *self;
        match self.function {
            // A width of 1 is a threshold; nothing is divided by.
            Function::Linear if width == 1.0 => f64::from(u8::from(value > center - 0.5)),
            Function::Linear => (value - (center - 0.5)) / (width - 1.0) + 0.5,
            Function::LinearExact => (value - center) / width + 0.5,
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::{PrimitiveValue, Tag};

    use super::*;

    fn top(values: &[(Tag, &str)]) -> Attributes {
        let mut top = Attributes::default();
        for (tag, text) in values {
            top.0.insert(*tag, PrimitiveValue::from(*text));
        }
        top
    }

    fn depth(allocated: u32, stored: u32) -> Depth {
        Depth { allocated, stored, high: stored - 1, is_signed: false }
    }

    #[test]
    fn eight_bits_stay_as_they_are() {
        let windowed = top(&[(tags::WINDOW_CENTER, "60"), (tags::WINDOW_WIDTH, "20")]);
        let map = GreyMap::of(&windowed, depth(8, 8), false);
        assert!((0..=255).all(|grey| map.grey(grey) == grey as u8));
        let inverted = GreyMap::of(&windowed, depth(8, 8), true);
        assert!((0..=255).all(|grey| inverted.grey(grey) == 255 - grey as u8));
    }

    #[test]
    fn deeper_greys_fill_the_range_or_the_window() {
        let map = GreyMap::of(&top(&[]), depth(16, 10), false);
        assert_eq!([0, 512, 1023].map(|value| map.grey(value)), [0, 128, 255]);
        let windowed = top(&[(tags::WINDOW_CENTER, "512"), (tags::WINDOW_WIDTH, "256")]);
        let map = GreyMap::of(&windowed, depth(16, 12), false);
        assert_eq!([0, 384, 512, 639, 4095].map(|value| map.grey(value)), [0, 0, 128, 255, 255]);
        let signed = Depth { is_signed: true, ..depth(16, 16) };
        let map = GreyMap::of(&top(&[]), signed, false);
        assert_eq!([-32768_i16, 0, 32767].map(|value| map.grey(value as u16)), [0, 128, 255]);
    }

    #[test]
    fn bits_above_and_below_a_pixel_are_not_its_own() {
        let map = GreyMap::of(&top(&[]), Depth { high: 13, ..depth(16, 10) }, false);
        assert_eq!(map.grey(0xc00f), 0);
        assert_eq!(map.grey(0x3ff0), 255);
    }

    #[test]
    fn impossible_depths_are_refused() {
        for (allocated, stored, high) in
            [("8", "9", "8"), ("12", "12", "11"), ("16", "0", "0"), ("16", "12", "20")]
        {
            let attributes = top(&[
                (tags::BITS_ALLOCATED, allocated),
                (tags::BITS_STORED, stored),
                (tags::HIGH_BIT, high),
            ]);
            assert!(Depth::of(&attributes).is_err(), "{allocated} {stored} {high}");
        }
    }
}

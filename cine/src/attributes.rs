//! The attributes that are read, and their values. Whatever is not listed here is skipped unread.

use std::collections::BTreeMap;

use dicom_core::{PrimitiveValue, Tag};
use dicom_dictionary_std::tags;

use crate::error::Problem;

/// Most bytes of a plain value.
const PLAIN: u32 = 1 << 10;
/// Most bytes of a table: the times of a million frames, a palette, offsets.
const TABLE: u32 = 1 << 24;

/// Read at the file's top level, with the most bytes that a value may have.
const TOP: [(Tag, u32); 34] = [
    (tags::ROWS, PLAIN),
    (tags::COLUMNS, PLAIN),
    (tags::SAMPLES_PER_PIXEL, PLAIN),
    (tags::PHOTOMETRIC_INTERPRETATION, PLAIN),
    (tags::PLANAR_CONFIGURATION, PLAIN),
    (tags::BITS_ALLOCATED, PLAIN),
    (tags::BITS_STORED, PLAIN),
    (tags::HIGH_BIT, PLAIN),
    (tags::PIXEL_REPRESENTATION, PLAIN),
    (tags::NUMBER_OF_FRAMES, PLAIN),
    (tags::RESCALE_SLOPE, PLAIN),
    (tags::RESCALE_INTERCEPT, PLAIN),
    (tags::WINDOW_CENTER, PLAIN),
    (tags::WINDOW_WIDTH, PLAIN),
    (tags::VOILUT_FUNCTION, PLAIN),
    (tags::FRAME_INCREMENT_POINTER, PLAIN),
    (tags::FRAME_TIME, PLAIN),
    (tags::FRAME_TIME_VECTOR, TABLE),
    (tags::CINE_RATE, PLAIN),
    (tags::RECOMMENDED_DISPLAY_FRAME_RATE, PLAIN),
    (tags::PIXEL_SPACING, PLAIN),
    (tags::PIXEL_ASPECT_RATIO, PLAIN),
    (tags::BURNED_IN_ANNOTATION, PLAIN),
    (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, PLAIN),
    (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, PLAIN),
    (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, PLAIN),
    (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, TABLE),
    (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA, TABLE),
    (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA, TABLE),
    (tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA, TABLE),
    (tags::EXTENDED_OFFSET_TABLE, TABLE),
    // Becomes a `Subject`, which only says whether two files are of one person.
    (tags::PATIENT_ID, PLAIN),
    (tags::ISSUER_OF_PATIENT_ID, PLAIN),
    (tags::TRANSFER_SYNTAX_UID, PLAIN),
];

/// Read of each ultrasound region.
const REGION: [Tag; 10] = [
    tags::REGION_SPATIAL_FORMAT,
    tags::REGION_DATA_TYPE,
    tags::REGION_LOCATION_MIN_X0,
    tags::REGION_LOCATION_MIN_Y0,
    tags::REGION_LOCATION_MAX_X1,
    tags::REGION_LOCATION_MAX_Y1,
    tags::PHYSICAL_UNITS_X_DIRECTION,
    tags::PHYSICAL_UNITS_Y_DIRECTION,
    tags::PHYSICAL_DELTA_X,
    tags::PHYSICAL_DELTA_Y,
];

/// Whether the top level's `tag`, `length` bytes long, is read.
pub fn is_wanted(tag: Tag, length: u32) -> bool {
    TOP.iter().any(|(wanted, most)| *wanted == tag && length <= *most)
}

/// The same inside an ultrasound region.
pub fn is_wanted_of_region(tag: Tag, length: u32) -> bool {
    REGION.contains(&tag) && length <= PLAIN
}

/// Values that were read. It has no `Debug`: what holds text of the file is not printed.
#[derive(Default)]
pub struct Attributes(pub BTreeMap<Tag, PrimitiveValue>);

impl Attributes {
    /// A whole number, at least 0 where it can be no other.
    pub fn int(&self, tag: Tag) -> Option<i64> {
        self.0.get(&tag)?.to_int().ok()
    }

    /// A whole number that a picture cannot do without.
    pub fn needed(&self, tag: Tag, name: &'static str) -> Result<u32, Problem> {
        let value = self.int(tag).ok_or(Problem::Missing(name))?;
        u32::try_from(value).map_err(|_| Problem::Impossible { name, value })
    }

    /// A finite number.
    pub fn real(&self, tag: Tag) -> Option<f64> {
        self.reals(tag)?.first().copied()
    }

    /// Numbers, all finite.
    pub fn reals(&self, tag: Tag) -> Option<Vec<f64>> {
        let values = self.0.get(&tag)?.to_multi_float64().ok()?;
        values.iter().all(|value| value.is_finite()).then_some(values)
    }

    /// Text without what pads it; empty where there is none.
    pub fn text(&self, tag: Tag) -> String {
        let text = self.0.get(&tag).map(PrimitiveValue::to_str).unwrap_or_default();
        text.trim_matches([' ', '\0']).to_owned()
    }

    /// Bytes of a table.
    pub fn bytes(&self, tag: Tag) -> Option<Vec<u8>> {
        self.0.get(&tag).map(|value| value.to_bytes().into_owned())
    }

    /// Tags that an attribute points to.
    pub fn tags(&self, tag: Tag) -> Vec<Tag> {
        match self.0.get(&tag) {
            Some(PrimitiveValue::Tags(tags)) => tags.to_vec(),
            _ => vec![],
        }
    }

    /// Unsigned numbers of 64 bits.
    pub fn offsets(&self, tag: Tag) -> Option<Vec<u64>> {
        self.0.get(&tag)?.to_multi_int().ok()
    }
}

//! Ultrasound regions (PS3.3, C.8.5.5), and how large a pixel is.

use dicom_dictionary_std::tags;

use crate::attributes::Attributes;

/// Codes of two-dimensional images: of tissue, and of flow over tissue.
const TWO_DIMENSIONS: i64 = 1;
const TISSUE_OR_FLOW: [i64; 2] = [1, 2];
const CENTIMETRE: i64 = 3;
/// Pixels of ultrasound, in mm. What is outside of it is no spacing.
const PIXEL: std::ops::Range<f64> = 1e-3..10.0;

/// A two-dimensional ultrasound image within the frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UltrasoundRegion {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Width and height of a pixel in mm, where they are stated.
    pub spacing: Option<[f32; 2]>,
}

/// The two-dimensional regions that lie within a frame, the largest first.
pub fn find(regions: &[Attributes], width: u32, height: u32) -> Vec<UltrasoundRegion> {
    let mut found: Vec<_> = regions.iter().filter_map(|region| read(region, width, height)).collect();
    found.sort_by_key(|region| std::cmp::Reverse(u64::from(region.width) * u64::from(region.height)));
    found
}

fn read(region: &Attributes, width: u32, height: u32) -> Option<UltrasoundRegion> {
    let is = |tag, codes: &[i64]| region.int(tag).is_some_and(|code| codes.contains(&code));
    if !is(tags::REGION_SPATIAL_FORMAT, &[TWO_DIMENSIONS]) || !is(tags::REGION_DATA_TYPE, &TISSUE_OR_FLOW) {
        return None;
    }
    let at = |tag| region.int(tag).and_then(|value| u32::try_from(value).ok());
    let (x, y) = (at(tags::REGION_LOCATION_MIN_X0)?, at(tags::REGION_LOCATION_MIN_Y0)?);
    // The last column and row belong to it; some machines name the one behind.
    let last_x = at(tags::REGION_LOCATION_MAX_X1)?.min(width.checked_sub(1)?);
    let last_y = at(tags::REGION_LOCATION_MAX_Y1)?.min(height.checked_sub(1)?);
    let (across, down) = (last_x.checked_sub(x)? + 1, last_y.checked_sub(y)? + 1);
    let is_scaled = is(tags::PHYSICAL_UNITS_X_DIRECTION, &[CENTIMETRE])
        && is(tags::PHYSICAL_UNITS_Y_DIRECTION, &[CENTIMETRE]);
    let delta = |tag| region.real(tag).map(|cm| cm.abs() * 10.0);
    let deltas = delta(tags::PHYSICAL_DELTA_X).zip(delta(tags::PHYSICAL_DELTA_Y)).filter(|_| is_scaled);
    let spacing = deltas.and_then(|(x, y)| in_mm(x, y));
    Some(UltrasoundRegion { x, y, width: across, height: down, spacing })
}

/// The spacing of the largest region that has one, or the one for the whole frame.
pub fn spacing(regions: &[UltrasoundRegion], top: &Attributes) -> Option<[f32; 2]> {
    let of_frame = || match top.reals(tags::PIXEL_SPACING)?[..] {
        // Rows come first.
        [y, x] => in_mm(x, y),
        _ => None,
    };
    regions.iter().find_map(|region| region.spacing).or_else(of_frame)
}

fn in_mm(x: f64, y: f64) -> Option<[f32; 2]> {
    (PIXEL.contains(&x) && PIXEL.contains(&y)).then_some([x as f32, y as f32])
}

#[cfg(test)]
mod tests {
    use dicom_core::PrimitiveValue;

    use super::*;

    fn region(format: u16, [x0, y0, x1, y1]: [u32; 4], units: u16, delta: f64) -> Attributes {
        let mut attributes = Attributes::default();
        for (tag, value) in [
            (tags::REGION_SPATIAL_FORMAT, PrimitiveValue::from(format)),
            (tags::REGION_DATA_TYPE, PrimitiveValue::from(1_u16)),
            (tags::REGION_LOCATION_MIN_X0, PrimitiveValue::from(x0)),
            (tags::REGION_LOCATION_MIN_Y0, PrimitiveValue::from(y0)),
            (tags::REGION_LOCATION_MAX_X1, PrimitiveValue::from(x1)),
            (tags::REGION_LOCATION_MAX_Y1, PrimitiveValue::from(y1)),
            (tags::PHYSICAL_UNITS_X_DIRECTION, PrimitiveValue::from(units)),
            (tags::PHYSICAL_UNITS_Y_DIRECTION, PrimitiveValue::from(units)),
            (tags::PHYSICAL_DELTA_X, PrimitiveValue::from(delta)),
            (tags::PHYSICAL_DELTA_Y, PrimitiveValue::from(-delta)),
        ] {
            attributes.0.insert(tag, value);
        }
        attributes
    }

    #[test]
    fn the_largest_two_dimensional_region_comes_first() {
        let regions = [
            region(1, [0, 0, 99, 99], 3, 0.02),
            region(1, [100, 50, 800, 600], 3, 0.01),
            region(3, [0, 0, 1023, 767], 4, 0.1),
        ];
        let found = find(&regions, 800, 600);
        assert_eq!(found.len(), 2, "a spectrum is no picture of tissue");
        let expected = UltrasoundRegion { x: 100, y: 50, width: 700, height: 550, spacing: Some([0.1, 0.1]) };
        assert_eq!(found[0], expected, "within the frame");
        assert_eq!(spacing(&found, &Attributes::default()), Some([0.1, 0.1]));
    }

    #[test]
    fn what_is_no_region_or_no_spacing_is_left_out() {
        assert!(find(&[region(1, [9, 0, 5, 5], 3, 0.1)], 20, 20).is_empty(), "its end lies before its start");
        assert!(find(&[region(1, [30, 0, 40, 5], 3, 0.1)], 20, 20).is_empty(), "outside");
        for (units, delta) in [(4, 0.01), (3, 0.0), (3, f64::NAN), (3, 1e9)] {
            assert_eq!(find(&[region(1, [0, 0, 9, 9], units, delta)], 20, 20)[0].spacing, None);
        }
        let mut top = Attributes::default();
        top.0.insert(
            tags::PIXEL_SPACING,
            PrimitiveValue::Strs(["0.2".to_owned(), "0.1".to_owned()].into_iter().collect()),
        );
        assert_eq!(spacing(&[], &top), Some([0.1, 0.2]));
    }
}

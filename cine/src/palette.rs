//! PALETTE COLOR: pixels that are numbers of colours (PS3.3, C.7.6.3.1.5).

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::attributes::Attributes;
use crate::error::Problem;
use crate::luma::from_rgb;

/// Luma and chroma of every pixel value.
pub struct Palette {
    first: i64,
    colours: Vec<[u8; 3]>,
}

const COMPONENTS: [(Tag, Tag); 3] = [
    (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA),
    (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA),
    (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA),
];

impl Palette {
    /// The file's palette.
    pub fn of(top: &Attributes) -> Result<Self, Problem> {
        const MISSING: Problem = Problem::Missing("palette");
        if top.0.contains_key(&tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA) {
            return Err(Problem::Unsupported {
                what: "a segmented palette".into(),
                remedy: "Convert it to RGB, such as with `gdcmconv --photometric-interpretation RGB`".into(),
            });
        }
        let mut first = None;
        let mut tables = vec![];
        for (descriptor, data) in COMPONENTS {
            let [count, from, bits] = top.reals(descriptor).ok_or(MISSING)?[..] else { return Err(MISSING) };
            // 65536 does not fit into the attribute, and 0 stands for it.
            let count = if count == 0.0 { 1 << 16 } else { count as usize };
            if *first.get_or_insert(from as i64) != from as i64 {
                return Err(Problem::Impossible { name: "palette's first value", value: from as i64 });
            }
            tables.push(component(&top.bytes(data).ok_or(MISSING)?, count, bits as u32).ok_or(MISSING)?);
        }
        let [red, green, blue] = &tables[..] else { return Err(MISSING) };
        let colours = red.iter().zip(green).zip(blue).map(|((r, g), b)| from_rgb([*r, *g, *b])).collect();
        Ok(Self { first: first.unwrap_or(0), colours })
    }

    /// Luma and chroma of a pixel. Those outside of the table have its first or last colour.
    #[inline]
    pub fn colour(&self, pixel: u16) -> [u8; 3] {
        let index = (i64::from(pixel) - self.first).clamp(0, self.colours.len() as i64 - 1);
        self.colours[index as usize]
    }
}

/// One component's table with 8 bits an entry; none where bytes are missing.
fn component(bytes: &[u8], count: usize, bits: u32) -> Option<Vec<u8>> {
    let words: Vec<u16> = bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect();
    if words.len() < count {
        // Two entries in a word.
        return bytes.get(..count).map(<[u8]>::to_vec).filter(|table| !table.is_empty());
    }
    let words = &words[..count];
    // Some machines say 16 bits and use 8.
    let is_deep = bits > 8 && words.iter().any(|word| *word > 255);
    Some(words.iter().map(|word| if is_deep { (word >> 8) as u8 } else { *word as u8 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_both_depths_are_read() {
        assert_eq!(component(&[0, 0, 0, 128, 0, 255], 3, 16), Some(vec![0, 128, 255]));
        assert_eq!(component(&[0, 0, 128, 0, 255, 0], 3, 16), Some(vec![0, 128, 255]), "8 bits called 16");
        assert_eq!(component(&[0, 128, 255, 0], 3, 8), Some(vec![0, 128, 255]), "packed");
        assert_eq!(component(&[0, 128], 3, 8), None);
    }

    #[test]
    fn values_outside_have_the_nearest_colour() {
        let palette = Palette { first: 10, colours: vec![[1; 3], [2; 3]] };
        assert_eq!([0, 10, 11, 900].map(|pixel| palette.colour(pixel)[0]), [1, 1, 2, 2]);
    }
}

//! Luma and chroma of red, green and blue.

/// Luma and chroma of a colour (ITU-T T.871). Grey keeps its value to the bit.
pub fn from_rgb([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    // In 1/65536; each row's weights add up to 65536 or to 0.
    let luma = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
    let blue = ((-11059 * r - 21709 * g + 32768 * b + 32768) >> 16) + 128;
    let red = ((32768 * r - 27439 * g - 5329 * b + 32768) >> 16) + 128;
    [luma, blue, red].map(|value| value.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_grey_to_the_bit() {
        for grey in 0..=255 {
            assert_eq!(from_rgb([grey; 3]), [grey, 128, 128]);
        }
        assert_eq!(from_rgb([255, 0, 0]), [76, 85, 255]);
        assert_eq!(from_rgb([0, 0, 255]), [29, 255, 107]);
    }
}

//! One JPEG picture, and what it says of its own colours.

use std::panic::catch_unwind;

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

/// A decoded picture's samples, interleaved.
pub struct Decoded {
    pub samples: Vec<u8>,
    /// Of one pixel.
    pub count: usize,
    /// Bytes of a sample.
    pub bytes: usize,
    /// Whether three components are luma and chroma; none where only the DICOM attributes know.
    pub is_ybr: Option<bool>,
}

/// Decodes `frame`, which has to have this size.
///
/// # Errors
/// What is wrong with it.
pub fn decode(frame: &[u8], width: usize, height: usize) -> Result<Decoded, String> {
    // The decoder has branches that panic because nothing should reach them, and damaged bytes are what finds them.
    catch_unwind(|| decode_sound(frame, width, height)).unwrap_or_else(|_| Err("its decoder gave up".into()))
}

fn decode_sound(frame: &[u8], width: usize, height: usize) -> Result<Decoded, String> {
    let mut decoder = Decoder::new(frame);
    // Its name for leaving three components as they are; `None` does not interleave them, and panics.
    decoder.set_color_transform(ColorTransform::RGB);
    decoder.read_info().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("it has no size")?;
    let found = (usize::from(info.width), usize::from(info.height));
    if found != (width, height) {
        return Err(format!("it is {}x{}, not {width}x{height}", found.0, found.1));
    }
    let (count, bytes) = match info.pixel_format {
        PixelFormat::L8 => (1, 1),
        PixelFormat::L16 => (1, 2),
        PixelFormat::RGB24 => (3, 1),
        PixelFormat::CMYK32 => return Err("it has four components".into()),
    };
    decoder.set_max_decoding_buffer_size(width * height * count * bytes * 4);
    let mut samples = decoder.decode().map_err(|error| error.to_string())?;
    if samples.len() != width * height * count * bytes {
        return Err("its decoder gives too few pixels".into());
    }
    if bytes == 2 && cfg!(target_endian = "big") {
        samples.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    }
    Ok(Decoded { samples, count, bytes, is_ybr: is_ybr(frame) })
}

/// Whether the bitstream says that it holds luma and chroma: by Adobe's or JFIF's marker, or by chroma of less
/// resolution. Files that say RGB in their attributes and hold YBR are common.
fn is_ybr(frame: &[u8]) -> Option<bool> {
    let (mut at, mut is_jfif) = (2, false);
    while let Some(&[0xff, marker, high, low]) = frame.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = frame.get(at + 4..(at + 2).checked_add(length)?)?;
        match marker {
            0xe0 => is_jfif |= body.starts_with(b"JFIF"),
            0xee if body.starts_with(b"Adobe") => return body.get(11).map(|transform| *transform == 1),
            // Lossless: no transform has its components subsampled.
            0xc3 => return None,
            0xc0..=0xc2 => {
                let factors: Vec<u8> = body.get(6..)?.chunks_exact(3).map(|c| c[1]).collect();
                let is_subsampled = factors.iter().any(|factor| Some(factor) != factors.first());
                return (is_jfif || is_subsampled).then_some(true);
            }
            0xda => return None,
            _ => {}
        }
        at += 2 + length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_say_what_the_components_are() {
        let start = [0xff, 0xd8];
        let jfif = [&[0xff, 0xe0, 0, 16][..], b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"].concat();
        let adobe = |transform| [&[0xff, 0xee, 0, 14][..], b"Adobe\0\x64\0\0\0\0", &[transform]].concat();
        let frame = |factor| {
            [&[0xff, 0xc0, 0, 17, 8, 0, 9, 0, 9, 3, 1, factor, 0, 2, 0x11, 0, 3, 0x11, 0][..]].concat()
        };
        let says = |parts: &[&[u8]]| is_ybr(&[&start[..], &parts.concat()].concat());
        assert_eq!(says(&[&jfif, &frame(0x11)]), Some(true));
        assert_eq!(says(&[&adobe(0), &frame(0x11)]), Some(false));
        assert_eq!(says(&[&adobe(1), &frame(0x11)]), Some(true));
        assert_eq!(says(&[&frame(0x21)]), Some(true), "subsampled");
        assert_eq!(says(&[&frame(0x11)]), None);
        for cut in 0..frame(0x21).len() {
            assert_eq!(says(&[&frame(0x21)[..cut]]), None, "cut at {cut}");
        }
    }
}

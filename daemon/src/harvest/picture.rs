//! Crops and maps as files: 8-bit gray PNG, without a word in it.

use std::io;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use nervelight_engines::digest::sha256;
use nervelight_engines::{HEIGHT, Plane, WIDTH};

/// A file, and its SHA-256 in hex.
pub struct Picture {
    /// The file.
    pub png: Vec<u8>,
    /// Its digest.
    pub digest: String,
}

impl Picture {
    /// Of a crop or a map.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn of(plane: &Plane) -> io::Result<Self> {
        let mut png = vec![];
        PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&plane[..], WIDTH as u32, HEIGHT as u32, ExtendedColorType::L8)
            .map_err(io::Error::other)?;
        let digest = sha256(&png);
        Ok(Self { png, digest })
    }
}

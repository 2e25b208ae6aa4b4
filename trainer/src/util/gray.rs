//! Grey pictures as files.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use tiff::encoder::{Compression, TiffEncoder, colortype::Gray8};

/// Writes 8-bit grey as a TIFF with LZW, as the original data set has it.
///
/// # Errors
/// When it cannot be written; the message names the file.
pub fn write_gray(path: &Path, width: u32, height: u32, luma: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let mut encoder =
            TiffEncoder::new(BufWriter::new(File::create(path)?))?.with_compression(Compression::Lzw);
        Ok(encoder.write_image::<Gray8>(width, height, luma)?)
    };
    write().with_context(|| format!("{}: write", path.display()))
}

//! Grey pictures as files.

use std::fs::File;
use std::io::{BufWriter, Cursor, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tiff::encoder::{Compression, TiffEncoder, colortype::Gray8};

/// Writes 8-bit grey as a TIFF with LZW, as the original data set has it.
///
/// # Errors
/// When it cannot be written; the message names the file.
pub fn write_gray(path: &Path, width: u32, height: u32, luma: &[u8]) -> Result<()> {
    let write = || encode(BufWriter::new(File::create(path)?), width, height, luma);
    write().with_context(|| format!("{}: write", path.display()))
}

/// The contents of such a file.
///
/// # Errors
/// When there is no memory for it.
pub fn encode_gray(width: u32, height: u32, luma: &[u8]) -> Result<Vec<u8>> {
    let mut contents = vec![];
    encode(Cursor::new(&mut contents), width, height, luma)?;
    Ok(contents)
}

fn encode(to: impl Write + Seek, width: u32, height: u32, luma: &[u8]) -> Result<()> {
    let mut encoder = TiffEncoder::new(to)?.with_compression(Compression::Lzw);
    Ok(encoder.write_image::<Gray8>(width, height, luma)?)
}

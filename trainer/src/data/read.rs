//! Reads one picture file, TIFF or PNG of 8-bit gray.

use std::io::Cursor;
use std::path::Path;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};

/// Width of a frame as recorded, in pixels.
pub const FRAME_WIDTH: usize = 580;
/// Height of a frame as recorded, in pixels.
pub const FRAME_HEIGHT: usize = 420;

/// 8-bit luma, row by row.
#[derive(Debug, PartialEq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub luma: Vec<u8>,
}

/// What is wrong with a picture, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is cut short or damaged ({0}); copy it again from its source")]
    Damaged(String),
    #[error("has {0} bits a sample; convert it to 8-bit gray")]
    Depth(u8),
    #[error("is {0}, not gray; convert it to 8-bit gray")]
    Color(String),
    #[error("is {width}x{height}, wanted {FRAME_WIDTH}x{FRAME_HEIGHT}; export it at that size")]
    Size { width: usize, height: usize },
}

/// Decodes the contents of a file named `path` and checks its size.
pub fn decode(path: &Path, contents: &[u8]) -> Result<Picture, PictureError> {
    let is_png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    let picture = if is_png { decode_png(contents) } else { decode_tiff(contents) }?;
    if (picture.width, picture.height) != (FRAME_WIDTH, FRAME_HEIGHT) {
        return Err(PictureError::Size { width: picture.width, height: picture.height });
    }
    Ok(picture)
}

fn decode_tiff(contents: &[u8]) -> Result<Picture, PictureError> {
    let damaged = |error: tiff::TiffError| PictureError::Damaged(error.to_string());
    let mut decoder = Decoder::new(Cursor::new(contents)).map_err(damaged)?;
    match decoder.colortype().map_err(damaged)? {
        ColorType::Gray(8) => {}
        ColorType::Gray(bits) => return Err(PictureError::Depth(bits)),
        ColorType::RGB(_) => return Err(PictureError::Color("RGB".into())),
        ColorType::RGBA(_) => return Err(PictureError::Color("RGB with alpha".into())),
        other => return Err(PictureError::Color(format!("{other:?}"))),
    }
    let (width, height) = decoder.dimensions().map_err(damaged)?;
    let (width, height) = (width as usize, height as usize);
    match decoder.read_image().map_err(damaged)? {
        DecodingResult::U8(luma) if luma.len() == width * height => Ok(Picture { width, height, luma }),
        _ => Err(PictureError::Damaged("it holds fewer pixels than it says".into())),
    }
}

fn decode_png(contents: &[u8]) -> Result<Picture, PictureError> {
    let image = image::load_from_memory_with_format(contents, image::ImageFormat::Png)
        .map_err(|error| PictureError::Damaged(error.to_string()))?;
    match image {
        image::DynamicImage::ImageLuma8(image) => Ok(Picture {
            width: image.width() as usize,
            height: image.height() as usize,
            luma: image.into_raw(),
        }),
        image::DynamicImage::ImageLuma16(_) => Err(PictureError::Depth(16)),
        other => Err(PictureError::Color(format!("{:?}", other.color()))),
    }
}

//! The value that moves: one video frame, and the region of it that the engine sees.

use std::sync::Arc;
use std::time::Instant;

use gst_video::prelude::*;
use gst_video::{VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};
use nervelight_engines::{HEIGHT, Plane, WIDTH};

/// One frame on its way from a source to the sinks.
pub struct Frame {
    /// I420 or NV12 picture with the PTS and duration it came with.
    pub buffer: gst::Buffer,
    /// Size, strides, format and colorimetry of `buffer`.
    pub info: Arc<VideoInfo>,
    /// When the source handed it over.
    pub arrived: Instant,
    /// The phantom's own nerve (0 or 255) in the frame's region, for scoring.
    pub truth: Option<Box<Plane>>,
}

/// The part of a frame that the engine sees: `WIDTH` x `HEIGHT` pixels at `x`, `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Column of the left edge, even.
    pub x: usize,
    /// Row of the top edge, even.
    pub y: usize,
}

/// A frame too small for the model's crop.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "frames are {width}x{height}, the region of {WIDTH}x{HEIGHT} at x = {}, y = {} does not fit. Raise the \
     source's resolution, move region.x and region.y, or set region.pad = true to add a black border",
    .region.x, .region.y
)]
pub struct DoesNotFit {
    width: usize,
    height: usize,
    region: Region,
}

impl Region {
    /// The configured region, or the centred one on even coordinates, in a `width` x `height` frame.
    ///
    /// # Errors
    /// When the frame is too small.
    pub fn place(
        x: Option<usize>,
        y: Option<usize>,
        width: usize,
        height: usize,
    ) -> Result<Self, DoesNotFit> {
        let centred = |frame: usize, crop: usize| (frame.saturating_sub(crop) / 2) & !1;
        let region = Self {
            x: x.unwrap_or_else(|| centred(width, WIDTH)),
            y: y.unwrap_or_else(|| centred(height, HEIGHT)),
        };
        if region.x + WIDTH > width || region.y + HEIGHT > height {
            return Err(DoesNotFit { width, height, region });
        }
        Ok(region)
    }
}

/// The writable samples of a 4:2:0 picture.
pub struct Picture<'a> {
    /// Luma rows of `luma_stride` bytes.
    pub luma: &'a mut [u8],
    /// Bytes from one luma row to the next.
    pub luma_stride: usize,
    /// Chroma at half resolution.
    pub chroma: Chroma<'a>,
}

/// The two chroma components of a [`Picture`].
pub enum Chroma<'a> {
    /// I420: U and V planes of one stride.
    Planar {
        /// Blue difference.
        u: &'a mut [u8],
        /// Red difference.
        v: &'a mut [u8],
        /// Bytes from one row to the next.
        stride: usize,
    },
    /// NV12: U and V bytes in turn.
    Interleaved {
        /// Both components.
        uv: &'a mut [u8],
        /// Bytes from one row to the next.
        stride: usize,
    },
}

impl<'a> Picture<'a> {
    /// The samples of a mapped I420 or NV12 frame; sources convert to one of these.
    pub fn of(frame: &'a mut VideoFrameRef<&mut gst::BufferRef>) -> Self {
        let stride = |plane: usize| frame.plane_stride()[plane] as usize;
        let (luma_stride, chroma_stride) = (stride(0), stride(1));
        let planar = frame.format() == VideoFormat::I420;
        let [luma, first, second, _] = frame.planes_data_mut();
        let chroma = if planar {
            Chroma::Planar { u: first, v: second, stride: chroma_stride }
        } else {
            Chroma::Interleaved { uv: first, stride: chroma_stride }
        };
        Self { luma, luma_stride, chroma }
    }
}

impl Chroma<'_> {
    /// The U and V samples at column `x` and row `y` of the half-resolution grid.
    #[inline]
    pub fn at(&mut self, x: usize, y: usize) -> (&mut u8, &mut u8) {
        match self {
            Self::Planar { u, v, stride } => {
                let i = y * *stride + x;
                (&mut u[i], &mut v[i])
            }
            Self::Interleaved { uv, stride } => {
                let i = y * *stride + 2 * x;
                let [u, v] = &mut uv[i..i + 2] else { unreachable!("a slice of two") };
                (u, v)
            }
        }
    }
}

/// Whether `info` says that luma spans 16..235 instead of 0..255.
///
/// Unknown counts as limited: that is what video without colorimetry means.
pub fn is_limited(info: &VideoInfo) -> bool {
    info.colorimetry().range() != VideoColorRange::Range0_255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_centred_on_even_coordinates() {
        assert_eq!(Region::place(None, None, 580, 420), Ok(Region { x: 2, y: 2 }), "the original's crop");
        assert_eq!(Region::place(None, None, 1920, 1080), Ok(Region { x: 672, y: 332 }));
        assert_eq!(Region::place(None, None, 579, 417), Ok(Region { x: 0, y: 0 }));
        assert_eq!(Region::place(Some(4), Some(0), 580, 420), Ok(Region { x: 4, y: 0 }));
    }

    #[test]
    fn a_frame_smaller_than_the_crop_names_both_sizes() {
        let error = Region::place(None, None, 320, 240).unwrap_err().to_string();
        assert!(error.contains("320x240") && error.contains("576x416"), "{error}");
        assert!(Region::place(Some(6), None, 580, 420).is_err(), "6 + 576 > 580");
    }
}

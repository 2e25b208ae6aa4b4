//! The value that moves: one video frame, and the region of it that the engine sees.

use std::sync::Arc;
use std::time::Instant;

use gst_video::prelude::*;
use gst_video::{VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};
use nervelight_engines::{EngineInfo, HEIGHT, Plane, WIDTH};
use serde::Serialize;

/// One frame on its way from a source to the sinks.
pub struct Frame {
    /// I420 or NV12 picture with the PTS and duration it came with.
    pub buffer: gst::Buffer,
    /// Size, strides, format and colorimetry of `buffer`.
    pub info: Arc<VideoInfo>,
    /// When the source handed it over.
    pub arrived: Instant,
    /// Width and height of a pixel in mm, where the source knows them.
    pub spacing: Option<[f32; 2]>,
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

/// A rectangle of a frame in pixels: the ultrasound picture in a screen, or what the model sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sector {
    /// Column of the left edge.
    pub x: usize,
    /// Row of the top edge.
    pub y: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Sector {
    /// Where `width` x `height` pixels lie around its centre, on even coordinates in a frame of `frame` pixels.
    pub fn centred(&self, (width, height): (usize, usize), frame: (usize, usize)) -> Region {
        let place = |at: usize, size: usize, part: usize, whole: usize| {
            (at + size / 2).saturating_sub(part / 2).min(whole.saturating_sub(part)) & !1
        };
        Region {
            x: place(self.x, self.width, width, frame.0),
            y: place(self.y, self.height, height, frame.1),
        }
    }
}

/// A frame too small for the model's crop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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

/// Size and place of the largest nerve in a mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NerveSize {
    /// From its left end to its right, in mm.
    pub width_mm: f32,
    /// Of its cross-section, in square millimetres.
    pub area_mm2: f32,
    /// From the skin to its top, in mm.
    pub depth_mm: f32,
}

/// One opened engine and how its maps are read. Every answer of the engine carries it, so that a map is never cut at
/// another model's threshold.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// Runtime, device, precision, name, and the bundle's digest.
    pub engine: EngineInfo,
    /// Least value of a map (probability x 255) that is nerve.
    pub threshold: u8,
    /// Least area of a nerve in pixels.
    pub min_area: u32,
    /// Counts the openings of engines in this process, from 1.
    pub generation: u64,
}

/// What the overlay shows on a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlayState {
    /// A mask that is fresh enough, be it empty.
    On,
    /// The newest mask is too old to show.
    Stale,
    /// The engine fails, hangs or has not answered yet, or the frame is smaller than the crop.
    #[default]
    Off,
    /// Somebody switched the overlay off.
    Disabled,
}

/// What the signal is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalState {
    /// Nothing has come yet, and nothing is late.
    #[default]
    Waiting,
    /// Frames come.
    Ok,
    /// The source sends no frames.
    NoSignal,
    /// The picture stands still that moved before.
    Frozen,
    /// Every pixel is black.
    Black,
    /// The capture card has no input, and shows its own picture.
    NoInput,
    /// Size, format or place of the picture have just changed.
    GeometryChanged,
}

impl SignalState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Ok,
        Self::NoSignal,
        Self::Frozen,
        Self::Black,
        Self::NoInput,
        Self::GeometryChanged,
    ];

    /// As it is called in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ok => "ok",
            Self::NoSignal => "no_signal",
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::NoInput => "no_input",
            Self::GeometryChanged => "geometry_changed",
        }
    }

    /// Whether there is a picture of the scanner that a mask could belong to.
    pub fn has_picture(self) -> bool {
        matches!(self, Self::Ok | Self::Frozen | Self::GeometryChanged)
    }
}

/// What a capture card's driver says of its input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputStatus {
    /// Nothing.
    #[default]
    Unknown,
    /// A signal is there.
    Present,
    /// No signal, or no cable.
    NoSignal,
    /// The scanner has no power.
    NoPower,
    /// A signal that the card cannot lock to.
    NoLock,
    /// A signal whose mode the card does not support.
    OutOfRange,
}

/// Luma of a frame, from a grid of its pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LumaStatistics {
    /// Mean, 0..255.
    pub mean: f32,
    /// Standard deviation.
    pub deviation: f32,
}

/// The writable samples of a 4:2:0 picture.
pub struct Picture<'a> {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
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
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let [luma, first, second, _] = frame.planes_data_mut();
        let chroma = if planar {
            Chroma::Planar { u: first, v: second, stride: chroma_stride }
        } else {
            Chroma::Interleaved { uv: first, stride: chroma_stride }
        };
        Self { width, height, luma, luma_stride, chroma }
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

/// The full-range value of a limited-range one (16..235, ITU-R BT.601 2.5.1).
pub fn full_range(luma: u8) -> u8 {
    ((f32::from(luma) - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0) as u8
}

/// Size, format, colorimetry and rate of frames, in words.
pub fn describe(info: &VideoInfo) -> String {
    let (fps, colorimetry) = (info.fps(), info.colorimetry());
    let (width, height, format) = (info.width(), info.height(), info.name());
    format!("{width}x{height} {format} {colorimetry} {}/{} fps", fps.numer(), fps.denom())
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

//! Decodes videos to their samples.

use std::path::Path;

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::AppSink;
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};

/// A decoded I420 picture, rows without padding.
pub struct Picture {
    /// Presentation time in ns.
    pub pts: u64,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether luma spans 0..255.
    pub full_range: bool,
    /// `width * height` luma samples.
    pub luma: Vec<u8>,
    /// U and V at half resolution.
    pub chroma: [Vec<u8>; 2],
}

impl Picture {
    /// Whether the chroma sample over the pixel at `x`, `y` is coloured.
    pub fn is_tinted(&self, x: usize, y: usize) -> bool {
        let i = y / 2 * self.width.div_ceil(2) + x / 2;
        self.chroma.iter().any(|plane| plane[i].abs_diff(128) > 2)
    }
}

/// Every picture in the file, as any player would decode it.
///
/// # Errors
/// When the file cannot be decoded to its end.
pub fn decode(path: &Path) -> Result<Vec<Picture>> {
    gst::init()?;
    let text = format!(
        "filesrc location=\"{}\" ! decodebin ! videoconvert ! video/x-raw,format=I420 ! \
         appsink name=sink sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text)?.downcast::<gst::Pipeline>().ok().context("pipeline")?;
    let sink = pipeline.by_name("sink").and_then(|s| s.downcast::<AppSink>().ok()).context("sink")?;
    pipeline.set_state(gst::State::Playing)?;
    let mut pictures = vec![];
    while let Ok(sample) = sink.pull_sample() {
        pictures.push(picture(&sample)?);
    }
    let error = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    pipeline.set_state(gst::State::Null)?;
    match error {
        Some(message) => bail!("{}: {message:?}", path.display()),
        None => Ok(pictures),
    }
}

fn picture(sample: &gst::Sample) -> Result<Picture> {
    let info = VideoInfo::from_caps(sample.caps().context("caps")?)?;
    let buffer = sample.buffer().context("buffer")?;
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let plane = |i: usize, width: usize, height: usize| -> Result<Vec<u8>> {
        let stride = frame.plane_stride()[i] as usize;
        let data = frame.plane_data(i as u32)?;
        Ok(data.chunks(stride).take(height).flat_map(|row| row[..width].to_vec()).collect())
    };
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    Ok(Picture {
        pts: buffer.pts().context("PTS")?.nseconds(),
        width,
        height,
        full_range: info.colorimetry().range() == gst_video::VideoColorRange::Range0_255,
        luma: plane(0, width, height)?,
        chroma: [plane(1, half_width, half_height)?, plane(2, half_width, half_height)?],
    })
}

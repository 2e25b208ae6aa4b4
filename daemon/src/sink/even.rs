//! H.264 4:2:0 has even sizes. What is odd gets its last row or column once more: nothing of the picture is lost or
//! scaled, and no black line is added. Chroma has these sizes already.

use anyhow::{Context as _, Result};
use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};

/// What frames like `info` become; none when they are even.
///
/// # Errors
/// When GStreamer knows no such frames.
pub fn even(info: &VideoInfo) -> Result<Option<VideoInfo>> {
    let (width, height) = (info.width().next_multiple_of(2), info.height().next_multiple_of(2));
    if (width, height) == (info.width(), info.height()) {
        return Ok(None);
    }
    let even = VideoInfo::builder(info.format(), width, height)
        .fps(info.fps())
        .par(info.par())
        .colorimetry(&info.colorimetry())
        .chroma_site(info.chroma_site())
        .build()
        .context("frames of even size")?;
    Ok(Some(even))
}

/// Makes every frame that leaves `pad` even. It is done there, on the pipeline's own thread.
pub fn make_even(pad: &gst::Pad, odd: VideoInfo, even: VideoInfo) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
        if let Some(gst::PadProbeData::Buffer(frame)) = &mut probe.data {
            match repeat_edges(frame, &odd, &even) {
                Ok(made) => *frame = made,
                // The recording counts it as lost.
                Err(_) => return gst::PadProbeReturn::Drop,
            }
        }
        gst::PadProbeReturn::Ok
    });
}

fn repeat_edges(frame: &gst::Buffer, odd: &VideoInfo, even: &VideoInfo) -> Result<gst::Buffer> {
    let mut made = gst::Buffer::with_size(even.size())?;
    {
        let made = made.make_mut();
        frame.copy_into(made, gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS, ..)?;
        let from = VideoFrameRef::from_buffer_ref_readable(frame, odd)?;
        let mut to = VideoFrameRef::from_buffer_ref_writable(made, even)?;
        for plane in 0..odd.n_planes() {
            // Bytes of a row: U and V of NV12 are one plane of two bytes a sample.
            let samples = odd.comp_width(plane.min(1) as u8) as usize;
            let is_pair = plane == 1 && odd.n_planes() == 2;
            let width = if is_pair { 2 * samples } else { samples };
            let height = odd.comp_height(plane.min(1) as u8) as usize;
            let from_stride = from.plane_stride()[plane as usize] as usize;
            let to_stride = to.plane_stride()[plane as usize] as usize;
            let source = from.plane_data(plane)?;
            let rows = to.plane_data_mut(plane)?.chunks_mut(to_stride);
            for (y, row) in rows.enumerate() {
                row[..width].copy_from_slice(&source[y.min(height - 1) * from_stride..][..width]);
                let last = row[width - 1];
                row[width..].fill(last);
            }
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use gst_video::VideoFormat;

    use super::*;

    #[test]
    fn edges_are_repeated_and_nothing_else_changes() {
        gst::init().unwrap();
        assert!(even(&VideoInfo::builder(VideoFormat::I420, 6, 4).build().unwrap()).unwrap().is_none());
        for format in [VideoFormat::I420, VideoFormat::Nv12] {
            let odd = VideoInfo::builder(format, 7, 5).build().unwrap();
            let even = even(&odd).unwrap().unwrap();
            assert_eq!((even.width(), even.height(), even.format()), (8, 6, format));
            // Byte n is n: no two are alike.
            let mut frame = gst::Buffer::from_mut_slice((0..odd.size()).map(|n| n as u8).collect::<Vec<_>>());
            frame.make_mut().set_pts(gst::ClockTime::SECOND);
            let made = repeat_edges(&frame, &odd, &even).unwrap();
            assert_eq!(made.pts(), frame.pts());
            let before = VideoFrameRef::from_buffer_ref_readable(&frame, &odd).unwrap();
            let after = VideoFrameRef::from_buffer_ref_readable(&made, &even).unwrap();
            let sample = |frame: &VideoFrameRef<&gst::BufferRef>, plane: usize, x: usize, y: usize| {
                frame.plane_data(plane as u32).unwrap()[y * frame.plane_stride()[plane] as usize + x]
            };
            for (x, y) in (0..8).flat_map(|x| (0..6).map(move |y| (x, y))) {
                assert_eq!(sample(&after, 0, x, y), sample(&before, 0, x.min(6), y.min(4)), "{x} {y}");
            }
            let (width, planes) = if format == VideoFormat::I420 { (4, 1..3) } else { (8, 1..2) };
            for (x, y) in (0..width).flat_map(|x| (0..3).map(move |y| (x, y))) {
                for plane in planes.clone() {
                    assert_eq!(sample(&after, plane, x, y), sample(&before, plane, x, y), "{plane}: {x} {y}");
                }
            }
        }
    }
}

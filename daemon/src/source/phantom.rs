//! The phantom as a live source: a cart can be installed, tested and burnt in without a probe.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst_video::prelude::*;
use gst_video::{VideoColorimetry, VideoFormat, VideoFrameRef, VideoInfo};
use nervelight_engines::{WIDTH as CROP_WIDTH, plane};
use nervelight_phantom::{HEIGHT, Phantom, WIDTH};

use crate::config::PhantomSettings;
use crate::frame::{Frame, Region};
use crate::source::failure::SourceError;
use crate::source::slot::{FrameCounts, Slot, SlotSender, slot};

/// Renders `settings.frames` frames, or without end for 0, on a thread that ends with the slot.
///
/// # Errors
/// When the region does not fit or the thread cannot be started.
pub fn start(
    settings: &PhantomSettings,
    x: Option<usize>,
    y: Option<usize>,
    counts: &Arc<FrameCounts>,
) -> Result<Slot> {
    let region = Region::place(x, y, WIDTH, HEIGHT)?;
    let colorimetry: VideoColorimetry = "1:4:0:0".parse().context("full-range BT.601")?;
    let info = VideoInfo::builder(VideoFormat::I420, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(settings.fps as i32, 1))
        .colorimetry(&colorimetry)
        .build()
        .context("phantom's video format")?;
    let (sender, slot) = slot(settings.paced, counts);
    let settings = settings.clone();
    let run = move || {
        let end = render(&settings, region, &Arc::new(info), &sender);
        sender.end(end.map_err(|e| SourceError::Failed {
            name: "phantom".into(),
            message: format!("{e:#}"),
            remedy: "Free some memory and start again".into(),
        }));
    };
    thread::Builder::new().name("phantom".into()).spawn(run).context("cannot start the phantom's thread")?;
    Ok(slot)
}

fn render(
    settings: &PhantomSettings,
    region: Region,
    info: &Arc<VideoInfo>,
    sender: &SlotSender,
) -> Result<()> {
    let mut phantom = Phantom::new(settings.seed);
    let (mut luma, mut mask) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
    let frame_time = gst::ClockTime::SECOND.nseconds() / u64::from(settings.fps);
    let started = Instant::now();
    for n in (0..).take_while(|n| settings.frames == 0 || *n < settings.frames) {
        phantom.frame(n, &mut luma, &mut mask)?;
        let buffer = picture(&luma, info, n * frame_time, frame_time)?;
        let mut truth = plane();
        for (row, out) in truth.chunks_exact_mut(CROP_WIDTH).enumerate() {
            out.copy_from_slice(&mask[(region.y + row) * WIDTH + region.x..][..CROP_WIDTH]);
        }
        if settings.paced {
            let due = started + Duration::from_nanos(n * frame_time);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let frame =
            Frame { buffer, info: info.clone(), arrived: Instant::now(), truth: Some(truth), spacing: None };
        if !sender.send(frame) {
            break;
        }
    }
    Ok(())
}

fn picture(luma: &[u8], info: &VideoInfo, pts: u64, duration: u64) -> Result<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(info.size()).context("no memory for a frame")?;
    let writable = buffer.make_mut();
    writable.set_pts(gst::ClockTime::from_nseconds(pts));
    writable.set_duration(gst::ClockTime::from_nseconds(duration));
    let mut frame = VideoFrameRef::from_buffer_ref_writable(writable, info).context("map a frame")?;
    let stride = frame.plane_stride()[0] as usize;
    let [y, u, v, _] = frame.planes_data_mut();
    for (out, row) in y.chunks_mut(stride).zip(luma.chunks_exact(WIDTH)) {
        out[..WIDTH].copy_from_slice(row);
    }
    u.fill(128);
    v.fill(128);
    drop(frame);
    Ok(buffer)
}

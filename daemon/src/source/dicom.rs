//! DICOM cines: frames that are decoded here, or video that GStreamer's decoders take.
//!
//! Luma goes through unchanged, and nothing of the file's text comes along; see `nervelight-cine`.

use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gst_app::{AppSrc, AppSrcCallbacks, AppStreamType};
use gst_video::{VideoColorimetry, VideoFormat, VideoFrameRef, VideoInfo};
use nervelight_cine::{Cine, Codec, Content, Facts, Picture, Problem, Video, is_dicom};
use nervelight_engines::{HEIGHT, WIDTH};

use crate::config::Source;
use crate::lock::lock;
use crate::source::failure::SourceError;

/// Video is handed on in pieces of at most so many bytes.
const PIECE: usize = 1 << 20;

/// Opens the source's file if it is a DICOM file, or is called one.
///
/// # Errors
/// When it cannot be used, and what to do.
pub fn open(source: &Source) -> Result<Option<Cine>> {
    let is_called_one = |path: &std::path::Path| {
        path.extension()
            .is_some_and(|extension| ["dcm", "dicom"].iter().any(|e| extension.eq_ignore_ascii_case(e)))
    };
    let Some(path) = source.file().filter(|path| is_dicom(path) || is_called_one(path)) else {
        return Ok(None);
    };
    Cine::open(&path).map(Some).map_err(|error| anyhow!("source {source} {}", error.problem))
}

/// The head of its pipeline.
pub fn head(cine: &Cine) -> &'static str {
    match cine.content() {
        Content::Frames => "appsrc name=cine",
        Content::Video(_) => "appsrc name=cine ! decodebin name=decode",
    }
}

/// What a pixel measures.
pub struct Scale {
    spacing: Option<[f32; 2]>,
    /// Frames that are not scaled have this size.
    size: (u32, u32),
}

impl Scale {
    /// Of a cine's frames, which get a border where it `pads` them.
    pub fn of(facts: &Facts, pads: bool) -> Self {
        let bordered = |size: u32, least: usize| if pads { size.max(least as u32) } else { size };
        Self { spacing: facts.spacing, size: (bordered(facts.width, WIDTH), bordered(facts.height, HEIGHT)) }
    }

    /// Width and height of a pixel of such a frame in mm; none where it was scaled on its way, or nobody knows.
    pub fn spacing(&self, info: &VideoInfo) -> Option<[f32; 2]> {
        self.spacing.filter(|_| (info.width(), info.height()) == self.size)
    }
}

/// What of a cine never became a frame.
#[derive(Clone)]
pub struct Losses {
    broken: Arc<AtomicU32>,
    /// Where a file that is cut off should end.
    cut: Option<Duration>,
}

impl Losses {
    /// How the source called `name` ended, whose last frame ended at `ended`.
    ///
    /// # Errors
    /// When frames are missing.
    pub fn end(&self, name: &str, ended: Duration) -> Result<(), SourceError> {
        let name = name.to_owned();
        match (self.cut, self.broken.load(Ordering::Relaxed)) {
            (Some(stated), _) => Err(SourceError::CutShort { name, ended, stated }),
            (None, 0) => Ok(()),
            (None, frames) => Err(SourceError::Damaged { name, frames: frames.into() }),
        }
    }
}

/// Makes the pipeline's head give the cine's frames.
///
/// # Errors
/// When the head is missing or frames of this size cannot be described.
pub fn feed(pipeline: &gst::Pipeline, cine: Cine, name: &str) -> Result<Losses> {
    let head = pipeline.by_name("cine").and_then(|element| element.downcast::<AppSrc>().ok());
    let head = head.context("the pipeline of a DICOM file has no head")?;
    let facts = cine.facts();
    say(facts, name);
    let last = facts.stated_frames - 1;
    let cut = facts.is_cut.then(|| facts.times.start(last) + facts.times.length(last));
    let losses = Losses { broken: Arc::default(), cut };
    match cine.content() {
        Content::Frames => give_frames(&head, cine, name, losses.broken.clone())?,
        Content::Video(codec) => {
            let rate = facts.times.rate();
            give_video(&head, cine.into_video()?, codec, rate)?;
        }
    }
    Ok(losses)
}

/// Says what the file is, and nothing about whom it shows.
fn say(facts: &Facts, name: &str) {
    let Facts { width, height, stated_frames: frames, coding, times, spacing, .. } = facts;
    tracing::info!(source = name, width, height, frames, coding, ?spacing, "DICOM cine");
    if !times.is_stated {
        tracing::warn!(
            source = name,
            "it does not say when its frames were made; they are played at 25 a second"
        );
    }
    if facts.has_burned_in_text == Some(true) {
        tracing::warn!(
            source = name,
            "it says that text in its pictures identifies the patient; they are shown as they are"
        );
    }
    if let Some([x, y]) = spacing
        && (x / y - 1.0).abs() > 0.02
    {
        tracing::warn!(source = name, x, y, "its pixels are not square; frames are shown as they are");
    }
}

/// Gives frame after frame, as the pipeline asks for them.
fn give_frames(head: &AppSrc, mut cine: Cine, name: &str, broken: Arc<AtomicU32>) -> Result<()> {
    let mut picture = Picture::default();
    let (mut next, name) = (0, name.to_owned());
    let mut known: Option<VideoInfo> = None;
    head.set_format(gst::Format::Time);
    let need = move |head: &AppSrc, _| {
        while next < cine.facts().frames {
            let number = next;
            next += 1;
            match cine.read(number, &mut picture) {
                Ok(()) => {}
                Err(error) if matches!(error.problem, Problem::Io(_)) => {
                    return gst::element_error!(head, gst::ResourceError::Read, ["{}", error.problem]);
                }
                Err(error) => {
                    if broken.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::warn!(source = name, "a frame is left out: it {}", error.problem);
                    }
                    continue;
                }
            }
            let times = &cine.facts().times;
            let made = describe(&picture, cine.facts()).and_then(|info| {
                let buffer = fill(&picture, &info, times.start(number), times.length(number))?;
                Ok((info, buffer))
            });
            let Ok((info, buffer)) = made else {
                return gst::element_error!(head, gst::ResourceError::NoSpaceLeft, ["no memory for a frame"]);
            };
            if known.as_ref() != Some(&info) {
                head.set_caps(info.to_caps().ok().as_ref());
                known = Some(info);
            }
            // Refused when it stops; then nobody asks again.
            let _ = head.push_buffer(buffer);
            return;
        }
        let _ = head.end_of_stream();
    };
    head.set_callbacks(AppSrcCallbacks::builder().need_data(need).build());
    Ok(())
}

/// Full-range grey, or luma with chroma of full resolution.
fn describe(picture: &Picture, facts: &Facts) -> Result<VideoInfo> {
    let format = if picture.chroma[0].is_empty() { VideoFormat::Gray8 } else { VideoFormat::Y444 };
    let colorimetry: VideoColorimetry = "1:4:0:0".parse().context("full-range BT.601")?;
    let (rate, aspect) = (facts.times.rate(), facts.pixel_aspect);
    VideoInfo::builder(format, picture.width as u32, picture.height as u32)
        .fps(gst::Fraction::new(rate.0, rate.1))
        .par(gst::Fraction::new(aspect.0 as i32, aspect.1 as i32))
        .colorimetry(&colorimetry)
        .build()
        .context("a format for its frames")
}

fn fill(picture: &Picture, info: &VideoInfo, start: Duration, length: Duration) -> Result<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(info.size()).context("no memory for a frame")?;
    let writable = buffer.make_mut();
    writable.set_pts(gst::ClockTime::try_from(start).ok());
    writable.set_duration(gst::ClockTime::try_from(length).ok());
    let mut frame = VideoFrameRef::from_buffer_ref_writable(writable, info).context("map a frame")?;
    let planes = [&picture.luma, &picture.chroma[0], &picture.chroma[1]];
    for (number, plane) in planes.into_iter().enumerate().take(info.n_planes() as usize) {
        let stride = info.stride()[number] as usize;
        let out = frame.plane_data_mut(number as u32).context("map a frame")?;
        for (out, row) in out.chunks_mut(stride).zip(plane.chunks_exact(picture.width)) {
            out[..picture.width].copy_from_slice(row);
        }
    }
    drop(frame);
    Ok(buffer)
}

/// Gives the bytes of video: in their order where it is elementary, and wherever a demuxer of its container wants them.
fn give_video(head: &AppSrc, mut video: Video, codec: Codec, rate: (i32, i32)) -> Result<()> {
    let is_elementary = video.is_elementary().context("its video")?;
    if is_elementary {
        head.set_caps(Some(&elementary(codec, rate)));
    } else {
        head.set_stream_type(AppStreamType::RandomAccess);
        head.set_size(i64::try_from(video.length()).unwrap_or(-1));
    }
    let video = Arc::new(Mutex::new(video));
    let seeking = video.clone();
    let need = move |head: &AppSrc, wanted: u32| {
        let mut video = lock(&video);
        let mut piece = vec![0; (wanted as usize).clamp(1, PIECE)];
        let at = video.stream_position().unwrap_or(0);
        let filled = fill_up(&mut *video, &mut piece);
        drop(video);
        match filled {
            Ok(0) => _ = head.end_of_stream(),
            Ok(filled) => {
                piece.truncate(filled);
                let mut buffer = gst::Buffer::from_mut_slice(piece);
                if let Some(buffer) = buffer.get_mut() {
                    buffer.set_offset(at);
                    buffer.set_offset_end(at + filled as u64);
                }
                let _ = head.push_buffer(buffer);
            }
            Err(error) => gst::element_error!(head, gst::ResourceError::Read, ["cannot be read: {error}"]),
        }
    };
    let seek = move |_: &AppSrc, at| lock(&seeking).seek(SeekFrom::Start(at)).is_ok();
    head.set_callbacks(AppSrcCallbacks::builder().need_data(need).seek_data(seek).build());
    Ok(())
}

/// Reads until `piece` is full or the video ends: who pulls a piece wants all of it.
fn fill_up(video: &mut impl Read, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match video.read(&mut piece[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Caps of a stream without a container, which may not know its rate itself.
fn elementary(codec: Codec, (frames, seconds): (i32, i32)) -> gst::Caps {
    let caps = match codec {
        Codec::H264 => gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream"),
        Codec::H265 => gst::Caps::builder("video/x-h265").field("stream-format", "byte-stream"),
        Codec::Mpeg2 => gst::Caps::builder("video/mpeg").field("mpegversion", 2).field("systemstream", false),
    };
    caps.field("framerate", gst::Fraction::new(frames, seconds)).build()
}

//! A frame as one bundle of messages: all of it has one time, so that readers can put it together again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use nervelight_engines::{HEIGHT, Plane, WIDTH, plane};

use crate::config::{IgtlContent, IgtlSink};
use crate::frame::{OverlayState, Sector, SignalState, full_range, is_limited};
use crate::igtl::{ImageHeader, Name, Status, image, now, status};
use crate::sink::Shown;
use crate::sink::igtl::board::Board;
use crate::sink::preview::State;

/// Who the messages are from.
const FRAME: &str = "NervelightImage";
const MASK: &str = "NervelightMask";
/// Who the overlay's state, and everything else, is from.
pub const DEVICE: &str = "Nervelight";

/// What is kept of a frame until it is packed. Jobs circulate.
pub struct Job {
    frame: Option<(gst::Buffer, Arc<VideoInfo>)>,
    state: State,
    spacing: Option<[f32; 2]>,
    /// Where `inside` lies, if there is a mask.
    area: Option<Sector>,
    inside: Box<Plane>,
    /// Of the mask's model.
    digest: String,
}

impl Default for Job {
    fn default() -> Self {
        let state = State {
            ai: OverlayState::Off,
            signal: false,
            picture: SignalState::Waiting,
            nerve: None,
            arrived: Instant::now(),
        };
        let (frame, spacing, area) = (None, None, None);
        Self { frame, state, spacing, area, inside: plane(), digest: String::with_capacity(64) }
    }
}

impl Job {
    /// Keeps `shown`: the picture itself is not copied, the mask is.
    pub fn fill(&mut self, shown: Shown<'_>) {
        self.frame = Some((shown.buffer.clone(), shown.info.clone()));
        (self.state, self.spacing) = (shown.state, shown.spacing);
        self.area = shown.mask.and(shown.region);
        self.digest.clear();
        if let (Some(mask), Some(model)) = (shown.mask, shown.model) {
            self.inside.copy_from_slice(&mask[..]);
            self.digest.push_str(&model.engine.digest);
        }
    }
}

/// Makes bundles. Their memory is used again once all clients have sent them.
pub struct Packer {
    content: Vec<IgtlContent>,
    bundles: Vec<Arc<Vec<u8>>>,
    full_range: [u8; 256],
    text: String,
}

impl Packer {
    /// For what `server` sends.
    pub fn new(server: &IgtlSink) -> Self {
        Self {
            content: server.content.clone(),
            bundles: vec![],
            full_range: std::array::from_fn(|luma| full_range(luma as u8)),
            text: String::new(),
        }
    }

    /// Packs the frame of `job`, and posts the bundle.
    ///
    /// # Errors
    /// When the frame's memory cannot be read.
    pub fn pack(&mut self, job: &mut Job, board: &Board) -> Result<()> {
        // The frame goes back to its source.
        let Some((buffer, info)) = job.frame.take() else { return Ok(()) };
        let mut bundle = self.bundles.iter().position(|used| Arc::strong_count(used) == 1);
        let at = *bundle.get_or_insert_with(|| {
            self.bundles.push(Arc::default());
            self.bundles.len() - 1
        });
        let Some(out) = Arc::get_mut(&mut self.bundles[at]) else { return Ok(()) };
        out.clear();
        let timestamp = now(job.state.arrived.elapsed());
        let header = ImageHeader::gray(info.width() as u16, info.height() as u16, job.spacing);
        for content in &self.content {
            match content {
                IgtlContent::Frame => {
                    let frame = VideoFrameRef::from_buffer_ref_readable(&buffer, &info)
                        .context("a frame's memory cannot be read")?;
                    let table = is_limited(&info).then_some(&self.full_range);
                    image(out, Name::new(FRAME), timestamp, &header, |out| copy(&frame, table, out));
                }
                IgtlContent::Mask => {
                    image(out, Name::new(MASK), timestamp, &header, |out| label(job, &info, out));
                }
                IgtlContent::Status => {
                    let (code, name) = code(job.state);
                    say(job, name, &mut self.text);
                    status(out, Name::new(DEVICE), timestamp, code, name, &self.text);
                }
            }
        }
        board.post(self.bundles[at].clone());
        Ok(())
    }
}

/// The picture's luma, in full range.
fn copy(frame: &VideoFrameRef<&gst::BufferRef>, table: Option<&[u8; 256]>, out: &mut Vec<u8>) {
    let (width, stride) = (frame.width() as usize, frame.plane_stride()[0] as usize);
    let Ok(luma) = frame.plane_data(0) else { return };
    for row in luma.chunks(stride).take(frame.height() as usize) {
        match table {
            None => out.extend_from_slice(&row[..width]),
            Some(table) => out.extend(row[..width].iter().map(|&luma| table[usize::from(luma)])),
        }
    }
}

/// The label map: 1 in the nerve, 0 elsewhere, and everywhere when no mask is shown.
fn label(job: &Job, info: &VideoInfo, out: &mut Vec<u8>) {
    let (start, width) = (out.len(), info.width() as usize);
    out.resize(start + width * info.height() as usize, 0);
    let Some(area) = job.area else { return };
    let rows = out[start..].chunks_exact_mut(width).skip(area.y).take(area.height);
    for (y, row) in rows.enumerate() {
        let inside = &job.inside[y * HEIGHT / area.height * WIDTH..][..WIDTH];
        for (x, label) in row[area.x..][..area.width].iter_mut().enumerate() {
            *label = inside[x * WIDTH / area.width];
        }
    }
}

/// The state in the specification's codes and in words.
fn code(state: State) -> (Status, &'static str) {
    match state.ai {
        _ if !state.signal => (Status::NotPresent, "NO SIGNAL"),
        OverlayState::On => (Status::Ok, "AI ON"),
        OverlayState::Stale => (Status::TimeOut, "AI STALE"),
        OverlayState::Off => (Status::NotReady, "AI OFF"),
        OverlayState::Disabled => (Status::Disabled, "AI DISABLED"),
    }
}

/// State, model and spacing, for people and logs.
fn say(job: &Job, name: &str, text: &mut String) {
    text.clear();
    text.push_str(name);
    // Writing to a string does not fail.
    let _ = match job.digest.as_str() {
        "" => Ok(()),
        digest => write!(text, "; model {digest}"),
    };
    let _ = match job.spacing {
        Some([x, y]) => write!(text, "; spacing {x} x {y} mm"),
        None => write!(text, "; spacing unknown, sent as 1 x 1 mm"),
    };
}

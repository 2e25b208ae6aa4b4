//! What follows from the frames' format: the crop's place, and everything drawn in the video's own colours.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use gst_video::VideoInfo;
use gst_video::{VideoFormat, VideoFrameRef};

use nervelight_engines::{HEIGHT, WIDTH};

use crate::frame::{DoesNotFit, OverlayState, Picture, Region, Sector, SignalState, is_limited};
use crate::path::badge::Badge;
use crate::path::crop::Cropper;
use crate::path::observer::Observer;
use crate::path::overlay::{Colour, OverlayStyle};
use crate::path::scaling::Scaling;
use crate::path::settings::LayoutSettings;

/// Size of the frames that say NO SIGNAL before the source's first one has come.
const PLACEHOLDER: (u32, u32) = (1280, 720);
/// Size of the pictures that the model was trained on.
const TRAINED: (usize, usize) = (580, 420);
/// Rows that a badge takes.
const BELOW: usize = 48;

/// Everything made for one size, format and colorimetry of frames.
pub struct Layout {
    /// Of the frames.
    pub info: Arc<VideoInfo>,
    /// The crop, or why there is none.
    pub crop: Result<Cropper, DoesNotFit>,
    /// How the nerve is drawn.
    pub style: OverlayStyle,
    off: Badge,
    stale: Badge,
    too_small: Badge,
    no_signal: Badge,
    no_input: Badge,
    black_picture: Badge,
    frozen: Badge,
    changed: Badge,
    /// Luma of black.
    black: u8,
}

impl Layout {
    /// For frames like `info`.
    pub fn new(settings: &LayoutSettings, info: Arc<VideoInfo>) -> Self {
        let limited = is_limited(&info);
        let colour = |rgb| Colour::new(rgb, info.colorimetry().matrix(), limited);
        let (white, red, amber) = (colour([255; 3]), colour([190, 0, 0]), colour([160, 90, 0]));
        let (pale, gray) = (colour([200; 3]), colour([50; 3]));
        let region = Region::place(settings.x, settings.y, info.width() as usize, info.height() as usize);
        Self {
            crop: region.map(|region| Cropper::new(region, limited)),
            style: OverlayStyle {
                colour: colour(settings.colour),
                opacity: settings.opacity,
                outline: settings.outline,
            },
            off: Badge::new("AI OFF", white, red),
            stale: Badge::new("AI STALE", white, amber),
            too_small: Badge::new("TOO SMALL", white, red),
            no_signal: Badge::new("NO SIGNAL", white, red),
            no_input: Badge::new("NO INPUT", white, red),
            black_picture: Badge::new("BLACK PICTURE", white, amber),
            frozen: Badge::calm("FROZEN", pale, gray),
            changed: Badge::calm("PICTURE CHANGED", pale, gray),
            black: if limited { 16 } else { 0 },
            info,
        }
    }

    /// For the time before the first frame, whose format is not known yet.
    ///
    /// # Errors
    /// When GStreamer does not know the format.
    pub fn placeholder(settings: &LayoutSettings) -> Result<Self> {
        let (width, height) = PLACEHOLDER;
        let info = VideoInfo::builder(VideoFormat::I420, width, height).build().context("video format")?;
        Ok(Self::new(settings, Arc::new(info)))
    }

    /// Whether frames like `info` need no other layout. The rate may change: every frame has its own time.
    pub fn fits(&self, info: &Arc<VideoInfo>) -> bool {
        let what = |info: &VideoInfo| (info.width(), info.height(), info.format(), info.colorimetry());
        Arc::ptr_eq(info, &self.info) || what(info) == what(&self.info)
    }

    /// What watches frames like these.
    pub fn observer(&self) -> Observer {
        let (width, height) = self.size();
        let mut observer = Observer::new(width, height, self.black);
        self.aim(&mut observer);
        observer
    }

    /// Lets `observer` watch the crop.
    pub fn aim(&self, observer: &mut Observer) {
        if let Ok(crop) = &self.crop {
            let Sector { width, height, .. } = crop.area();
            observer.watch(Some(crop.region()), (width, height));
        }
    }

    fn size(&self) -> (usize, usize) {
        (self.info.width() as usize, self.info.height() as usize)
    }

    /// Takes the crop from the middle of the ultrasound picture, which is scaled to the size of those that the model was
    /// trained on where that is wanted.
    pub fn take_from(&mut self, sector: Sector, is_scaled: bool) {
        let frame = self.size();
        let Ok(crop) = &mut self.crop else { return };
        // The whole picture is in it, and it is in the frame.
        let fits = |size: usize, whole: usize| size as f32 / whole as f32;
        let wanted = fits(sector.width, TRAINED.0).max(fits(sector.height, TRAINED.1));
        let factor = wanted.min(fits(frame.0, WIDTH)).min(fits(frame.1, HEIGHT));
        let scaling = (is_scaled && (factor - 1.0).abs() > 0.01).then(|| Scaling::new(factor));
        let size = scaling.as_ref().map_or((WIDTH, HEIGHT), Scaling::size);
        crop.move_to(sector.centred(size, frame), scaling);
    }

    /// The crop's place.
    pub fn region(&self) -> Option<Region> {
        self.crop.as_ref().ok().map(Cropper::region)
    }

    /// The notice that belongs on a frame in these states. One that says what the signal lacks comes before one that
    /// says what the engine does.
    pub fn badge(&self, state: OverlayState, signal: SignalState) -> Option<&Badge> {
        match (state, signal) {
            (OverlayState::Disabled, _) => return None,
            (_, SignalState::NoInput) => return Some(&self.no_input),
            (_, SignalState::Black) => return Some(&self.black_picture),
            _ => {}
        }
        match state {
            OverlayState::Disabled | OverlayState::On => None,
            OverlayState::Off if self.crop.is_err() => Some(&self.too_small),
            OverlayState::Off => Some(&self.off),
            OverlayState::Stale => Some(&self.stale),
        }
    }

    /// The calm notice that belongs on a frame beside that.
    pub fn note(&self, state: OverlayState, signal: SignalState) -> Option<&Badge> {
        match (state, signal) {
            (OverlayState::Disabled, _) => None,
            (_, SignalState::Frozen) => Some(&self.frozen),
            (_, SignalState::GeometryChanged) => Some(&self.changed),
            _ => None,
        }
    }

    /// Draws a note in the crop's other upper corner, or else below the badge's place.
    pub fn draw_note(&self, note: &Badge, picture: &mut Picture<'_>) {
        let beside = |region: Region| (region.x + (WIDTH - note.width - 2 * Badge::OFFSET), region.y);
        let (x, y) = self.region().map_or((0, BELOW), beside);
        note.draw(picture, x, y);
    }

    /// Draws a badge where the crop begins, or else the picture.
    pub fn draw_badge(&self, badge: &Badge, picture: &mut Picture<'_>) {
        let (x, y) = self.region().map_or((0, 0), |region| (region.x, region.y));
        badge.draw(picture, x, y);
    }

    /// A black frame that says NO SIGNAL, without a time.
    ///
    /// # Errors
    /// When there is no memory for a frame.
    pub fn no_signal(&self) -> Result<gst::Buffer> {
        let mut buffer = gst::Buffer::with_size(self.info.size()).context("no memory for a frame")?;
        let mut mapped = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), &self.info)
            .context("a frame's memory cannot be written")?;
        let [luma, chroma @ ..] = mapped.planes_data_mut();
        luma.fill(self.black);
        chroma.into_iter().for_each(|plane| plane.fill(128));
        self.draw_badge(&self.no_signal, &mut Picture::of(&mut mapped));
        drop(mapped);
        Ok(buffer)
    }
}

//! One file of a recording: its pipeline, its place, its sidecar.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use gst::prelude::*;

use crate::config::FileSettings;
use crate::frame;
use crate::pipeline::quoted;
use crate::sink::encode::Unit;
use crate::sink::feed::{Feed, Taken};
use crate::sink::file::note::FrameNote;
use crate::sink::file::place::{Naming, Place, folder_of};
use crate::sink::file::sidecar::{End, Header, Sidecar};
use crate::sink::{SinkContext, SinkError, SinkStatus};
use gst_video::VideoInfo;

/// Length of a fragment of MP4 in ms: so much is lost with the power.
const FRAGMENT: u32 = 1000;
/// Frames before fragments are so long. Two make a fragment.
const SHORT: u64 = 2;
const TAKEN_AWAY: &str = "its file was removed or replaced while it was written";

/// What all files of a recording have in common.
pub struct Plan {
    /// As configured.
    pub settings: FileSettings,
    /// Of its frames.
    pub info: Arc<VideoInfo>,
    /// What sinks need.
    pub context: SinkContext,
    /// The recording's figures.
    pub status: Arc<SinkStatus>,
    /// Frames that reached a muxer.
    pub muxed: AtomicU64,
    /// Bytes that were handed to a muxer.
    pub bytes: AtomicU64,
}

impl Plan {
    /// Takes the next name of the recording.
    ///
    /// # Errors
    /// When no file can be written now.
    pub fn reserve(settings: &FileSettings, context: &SinkContext) -> anyhow::Result<Place> {
        let naming = match (settings.overwrite, settings.is_cut()) {
            (true, _) => Naming::Overwrite,
            (false, true) => Naming::Last,
            (false, false) => Naming::FirstFree,
        };
        Place::reserve(&settings.path, naming, &context.encoders)
    }
}

/// A file that is written.
pub struct Segment {
    plan: Arc<Plan>,
    place: Arc<Place>,
    feed: Feed,
    sidecar: Sidecar,
    /// Frames that reached its muxer.
    muxed: Arc<AtomicU64>,
    /// When its first frame is shown, in ns.
    first: Option<u64>,
}

/// What is looked at while a file is written.
pub struct Watched {
    /// Its name.
    pub place: Arc<Place>,
    video: Option<File>,
    sidecar: Option<File>,
    /// Its name has been brought to the disk.
    is_named: AtomicBool,
}

impl Segment {
    /// Begins a file, which goes on where `before` ended, if anything did.
    ///
    /// # Errors
    /// When it cannot be written now.
    pub fn open(plan: &Arc<Plan>, before: Option<&Segment>) -> Result<Self, SinkError> {
        let place = Plan::reserve(&plan.settings, &plan.context).map_err(SinkError::Unavailable)?;
        Self::open_at(plan, Arc::new(place), before)
    }

    /// The same at a `place` that was taken for it. Where it does not open, nothing is left there.
    ///
    /// # Errors
    /// When it cannot be written now.
    pub fn open_at(plan: &Arc<Plan>, place: Arc<Place>, before: Option<&Segment>) -> Result<Self, SinkError> {
        let opened = Self::try_open(plan, &place, before);
        if opened.is_err() {
            place.give_up(&plan.context.encoders);
        }
        opened
    }

    fn try_open(plan: &Arc<Plan>, place: &Arc<Place>, before: Option<&Segment>) -> Result<Self, SinkError> {
        let muxed = Arc::new(AtomicU64::new(0));
        let prepare = |pipeline: &gst::Pipeline| prepare(pipeline, plan, &muxed);
        // Who hands it units is not the video's thread, and may wait.
        let context = SinkContext { live: false, ..plan.context.clone() };
        let text = describe(place.path());
        let feed = Feed::open("file", &text, None, &context, prepare, plan.status.listener())?.of_units();
        place.note_file();
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut header = Header::new(name(place.path()), name(&plan.settings.path));
        header.continues = before.map(|before| name(before.place.path()));
        (header.source, header.frames) = (plan.context.source.to_string(), frame::describe(&plan.info));
        let sidecar =
            Sidecar::create(place.path(), !place.is_made(), &header).map_err(SinkError::Unavailable)?;
        plan.status.begin_file(name(place.path()));
        Ok(Self { plan: plan.clone(), place: place.clone(), feed, sidecar, muxed, first: None })
    }

    /// Handles for who looks after it meanwhile.
    pub fn watched(&self) -> Watched {
        let video = File::open(self.place.path()).ok();
        Watched {
            place: self.place.clone(),
            video,
            sidecar: self.sidecar.handle(),
            is_named: AtomicBool::new(false),
        }
    }

    /// Hands a unit to the muxer, and what is known of its frame to the sidecar before that.
    pub fn take(&mut self, unit: &Unit, note: Option<&FrameNote>) -> Taken {
        let first = *self.first.get_or_insert(unit.at);
        let line = self.sidecar.frame(unit.at.saturating_sub(first) / 1000, note);
        self.warn(line.as_ref().err());
        if !line.unwrap_or(false) {
            self.plan.status.lose_time();
        }
        self.plan.bytes.fetch_add(unit.buffer.size() as u64, Ordering::Relaxed);
        self.feed.give(|source| source.push_sample(&unit.sample))
    }

    /// Fails the recording when its file is gone, so that it goes on in another. A disk may hang here.
    pub fn look(&self) {
        if !self.place.is_kept() {
            self.plan.status.fail(TAKEN_AWAY.into());
        }
    }

    /// The source has fallen silent.
    pub fn no_signal(&mut self, at: std::time::SystemTime) {
        let line = self.sidecar.no_signal(at);
        self.warn(line.err().as_ref());
    }

    fn warn(&self, error: Option<&std::io::Error>) {
        if let Some(error) = error {
            let path = self.place.path().display();
            tracing::error!(%path, %error, "the recording's sidecar cannot be written any more; the video goes on without");
        }
    }

    /// Says that no unit follows.
    pub fn end(&self) {
        self.feed.end();
    }

    /// Waits until everything is written, at most until `deadline`, and returns what has to come to the disk. A file
    /// without a frame is removed.
    pub fn finish(mut self, why: End, deadline: Instant) -> Option<Watched> {
        self.feed.finish(deadline);
        let why = if self.feed.has_failed() { End::Failed } else { why };
        if !self.place.is_kept() {
            self.plan.status.fail(TAKEN_AWAY.into());
            if self.place.path().symlink_metadata().is_ok() {
                // Another file has the name now, and must not pass for ours.
                self.sidecar.remove();
                return None;
            }
        } else if self.muxed.load(Ordering::Relaxed) == 0
            || self.place.path().metadata().is_ok_and(|file| file.len() == 0)
        {
            // A frame that was muxed may be on the disk, unless nothing is.
            self.place.give_up(&self.plan.context.encoders);
            self.sidecar.remove();
            return None;
        }
        let end = self.sidecar.end(why);
        self.warn(end.err().as_ref());
        Some(self.watched())
    }
}

impl Watched {
    /// Brings what was written to the disk. The sidecar comes first, so that no frame is there without its line.
    pub fn sync(&self) {
        for file in [&self.sidecar, &self.video].into_iter().flatten() {
            // What is no file on a disk takes no such wish; a disk that fails says so where it is written.
            let _ = file.sync_data();
        }
        if !self.is_named.swap(true, Ordering::Relaxed) {
            // Its name, too. Not every file system can.
            let _ = File::open(folder_of(self.place.path())).and_then(|folder| folder.sync_all());
        }
    }
}

/// The pipeline that writes encoded frames to `path`.
pub fn describe(path: &Path) -> String {
    let muxer = match path.extension().and_then(|e| e.to_str()) {
        Some("mkv") => "matroskamux name=muxer offset-to-zero=true",
        // Every finished second is playable, whatever happens after.
        _ => {
            &format!("mp4mux name=muxer fragment-duration={FRAGMENT} fragment-mode=first-moov-then-finalise")
        }
    };
    let location = quoted(&path.display().to_string());
    // Unbuffered: a second that is finished outlives the process.
    format!(
        "appsrc name=frames ! h264parse ! {muxer} ! filesink name=file buffer-mode=unbuffered location={location}"
    )
}

fn prepare(pipeline: &gst::Pipeline, plan: &Arc<Plan>, muxed: &Arc<AtomicU64>) {
    if let Some(units) = pipeline.by_name("frames") {
        // A file is never live. An encoder's time line may begin anywhere, B-frames need that.
        units.set_property("is-live", false);
        units.set_property("handle-segment-change", true);
    }
    let Some(muxer) = pipeline.by_name("muxer") else { return };
    let is_fragmented = muxer.has_property("fragment-duration");
    if is_fragmented {
        // The first fragment comes with what a player needs to know; until then nothing plays.
        muxer.set_property("fragment-duration", 1_u32);
    }
    for pad in muxer.sink_pads() {
        let (plan, muxed) = (plan.clone(), muxed.clone());
        let muxer = muxer.downgrade();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
            // A muxer can write those with a time.
            if let Some(gst::PadProbeData::Buffer(buffer)) = &probe.data
                && buffer.pts().is_some()
            {
                if muxed.fetch_add(1, Ordering::Relaxed) == SHORT
                    && let Some(muxer) = muxer.upgrade().filter(|_| is_fragmented)
                {
                    muxer.set_property("fragment-duration", FRAGMENT);
                }
                plan.muxed.fetch_add(1, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

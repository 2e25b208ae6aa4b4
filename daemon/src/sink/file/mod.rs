//! Recordings: H.264 in MP4 or Matroska, cut into files, each with a sidecar that says where its pictures come from.

mod cut;
mod keeper;
mod note;
mod place;
mod recorder;
mod segment;
mod shelf;
mod sidecar;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use gst_video::VideoInfo;

use crate::config::{self, FileSettings};
use crate::sink::encode::{Subscription, Units};
use crate::sink::feed::Taken;
use crate::sink::file::note::{FrameNote, NOTES, Note};
pub use crate::sink::file::segment::describe;
use crate::sink::file::segment::{Plan, Segment};
use crate::sink::file::shelf::Shelf;
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus, is_like};

/// Records frames to files.
pub struct Recording {
    stream: Subscription,
    plan: Arc<Plan>,
    notes: Sender<Note>,
    /// Disconnects when everything is on the disk.
    done: Receiver<()>,
    /// The source is silent, and the sidecar says so.
    is_silent: bool,
}

impl Recording {
    /// Begins a file; without `overwrite` under a name that is not taken.
    ///
    /// # Errors
    /// When a pipeline cannot be built, or the file not be written now.
    pub fn open(
        settings: &FileSettings,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        let status = Arc::new(SinkStatus::new(config::Sink::File(settings.clone()).to_string()));
        let named = |error: SinkError| error.of(&format!("sink {}", status.name()));
        let mut shelf = Shelf::new(settings);
        shelf.look(None);
        shelf.make_room(0, &status).map_err(|error| named(SinkError::Unavailable(error)))?;
        let place = Plan::reserve(settings, context).map_err(|error| named(SinkError::Unavailable(error)))?;
        let place = Arc::new(place);
        // A recording of many files is called what is configured.
        let status = match settings.is_cut() {
            true => status,
            false => {
                let settings = FileSettings { path: place.path().into(), ..settings.clone() };
                Arc::new(SinkStatus::new(config::Sink::File(settings).to_string()))
            }
        };
        let plan = Arc::new(Plan {
            settings: settings.clone(),
            info: info.clone(),
            context: context.clone(),
            status: status.clone(),
            muxed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let (notes, noted) = bounded(NOTES);
        let mut done = None;
        let open = || {
            let first = Segment::open_at(&plan, place.clone(), None)?;
            let (intake, finished) = recorder::start(plan.clone(), first, noted)?;
            done = Some(finished);
            Ok(intake as Arc<dyn Units>)
        };
        let encoder = settings.encoder.as_deref();
        let stream = context.encoders.subscribe(encoder, info, context, status.clone(), open);
        let stream = stream.map_err(|error| {
            place.give_up(&context.encoders);
            error.of(&format!("sink {}", status.name()))
        })?;
        let done = done.unwrap_or_else(|| bounded(0).1);
        Ok(Self { stream, plan, notes, done, is_silent: false })
    }

    /// Says what is true of the next frame, without waiting.
    fn note(&self, note: Note) {
        if self.notes.try_send(note).is_err() && !self.plan.status.has_failed() {
            self.plan.status.lose_time();
        }
    }
}

impl Sink for Recording {
    fn push(&mut self, shown: Shown<'_>) {
        if !shown.state.signal {
            if !std::mem::replace(&mut self.is_silent, true) {
                self.note(Note::NoSignal(SystemTime::now()));
            }
            return;
        }
        self.is_silent = false;
        if !self.follow(shown.info) {
            self.plan.status.fail("the frames changed".into());
        }
        if self.plan.status.has_failed() {
            return self.plan.status.count(Taken::Failed);
        }
        // Before the frame: who writes it finds its note there.
        self.note(Note::Frame(FrameNote::of(&shown)));
        self.plan.status.count(self.stream.push(shown.buffer));
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        Arc::ptr_eq(&self.plan.info, info) || is_like(&self.plan.info, info)
    }

    fn end(&mut self) {
        self.stream.end();
    }

    fn finish(&mut self, deadline: Instant) {
        self.stream.end();
        let status = &self.plan.status;
        if self.done.recv_deadline(deadline) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            status.fail("it did not finish in time; the end may be missing".into());
        }
        let lost = status.taken().saturating_sub(self.plan.muxed.load(Ordering::Relaxed));
        status.lose(lost);
        if lost > 0 && !status.has_failed() {
            tracing::warn!(sink = %status.name(), frames = lost, "its encoder or muxer dropped frames");
        }
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.plan.status.clone()
    }
}

//! Writes what is kept. It may wait for a disk; nobody waits for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use nervelight_engines::{HEIGHT, WIDTH};

use crate::config;
use crate::control::Reason;
use crate::harvest::case::{Note, seconds};
use crate::harvest::figures::Figures;
use crate::harvest::item::{Cause, Item, Kept, MadeBy, SCHEMA, random_name};
use crate::harvest::picture::Picture;
use crate::harvest::shelf::{Room, Shelf};
use crate::harvest::status::Status;
use crate::harvest::stock::{Buffers, Of, Seen};

/// Time between tries of a folder that cannot be used.
const RETRY: Duration = Duration::from_secs(5);
/// Bytes that a record takes, at most.
const RECORD: u64 = 4096;
/// Bytes of an item's name.
const NAME: usize = 8;

/// What is to be done.
pub enum Task {
    /// Keep this.
    Keep(Box<Keep>),
    /// Remember which case it is.
    Case(Note),
}

/// A picture that is kept.
pub struct Keep {
    /// It.
    pub seen: Box<Seen>,
    /// What is known of it.
    pub of: Of,
    /// Of its map.
    pub figures: Figures,
    /// Why it is kept.
    pub why: Cause,
    /// Why it was flagged.
    pub reason: Option<Reason>,
    /// Of two models that disagree.
    pub dice: Option<f64>,
    /// What it has in common with others.
    pub event: String,
    /// Its case.
    pub case: String,
    /// Since the case began.
    pub ms: u64,
}

/// The thread's own end.
pub struct Writer {
    settings: config::Harvest,
    kind: &'static str,
    buffers: Buffers,
    status: Arc<Status>,
    /// None while the folder cannot be used.
    shelf: Option<Shelf>,
    /// The last time something was written, it could not be.
    has_failed: bool,
}

impl Writer {
    /// Writes pictures of a source of this `kind`, and gives their `buffers` back.
    pub fn new(
        settings: &config::Harvest,
        kind: &'static str,
        buffers: Buffers,
        status: Arc<Status>,
    ) -> Self {
        Self { settings: settings.clone(), kind, buffers, status, shelf: None, has_failed: false }
    }

    /// Does what is `due` until nothing more comes.
    pub fn run(mut self, due: &Receiver<Task>) {
        let _ = rustix::process::nice(10);
        self.open();
        loop {
            match due.recv_timeout(RETRY) {
                Ok(Task::Keep(keep)) => self.keep(*keep),
                Ok(Task::Case(note)) => {
                    let Some(shelf) = self.open() else { continue };
                    let noted = shelf.note(&note);
                    self.say(noted.context("the present case cannot be noted"));
                }
                Err(RecvTimeoutError::Timeout) => drop(self.open()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn keep(&mut self, keep: Keep) {
        let (why, is_flagged) = (keep.why, keep.why == Cause::Flagged);
        let done = self.write(&keep, is_flagged);
        self.buffers.put_back(keep.seen);
        match done {
            Ok(true) => self.status.count_kept(why),
            Ok(false) | Err(_) => self.status.count_lost(),
        }
        self.say(done.map(drop));
    }

    /// Whether there was room for it.
    fn write(&mut self, keep: &Keep, is_flagged: bool) -> Result<bool> {
        let (crop, map) = (Picture::of(&keep.seen.crop)?, Picture::of(&keep.seen.map)?);
        let kept = Kept { item: self.describe(keep, &crop, &map), at: seconds(SystemTime::now()) };
        let quota = self.settings.quota;
        let Some(shelf) = self.open() else { return Ok(false) };
        let bytes = (crop.png.len() + map.png.len()) as u64 + RECORD;
        let Room { deleted, is_enough } = shelf.make_room(bytes, quota, is_flagged)?;
        let put = if is_enough { shelf.put(&kept, &crop, &map).map(|()| true) } else { Ok(false) };
        let (items, bytes) = shelf.holds();
        (0..deleted).for_each(|_| self.status.count_deleted());
        self.status.holds(items, bytes);
        put
    }

    fn describe(&self, keep: &Keep, crop: &Picture, map: &Picture) -> Item {
        let model = &keep.of.model;
        Item {
            schema: SCHEMA,
            case: keep.case.clone(),
            item: random_name(NAME),
            event: keep.event.clone(),
            ms: keep.ms,
            why: keep.why,
            reason: keep.reason,
            dice: keep.dice,
            figures: keep.figures,
            source: self.kind.into(),
            width: WIDTH,
            height: HEIGHT,
            spacing_mm: keep.of.spacing,
            model: MadeBy {
                name: model.engine.model.clone(),
                digest: model.engine.digest.clone(),
                precision: model.engine.precision.to_string(),
                threshold: model.threshold,
                min_area: model.min_area,
            },
            crop_sha256: crop.digest.clone(),
            map_sha256: map.digest.clone(),
        }
    }

    /// The folder, if it can be used.
    fn open(&mut self) -> Option<&mut Shelf> {
        if !self.shelf.as_ref().is_some_and(Shelf::is_there) {
            // Its lock first.
            self.shelf = None;
            let opened = Shelf::open(&self.settings.path);
            let proven =
                |shelf: Shelf| if self.has_failed { shelf.probe().map(|()| shelf) } else { Ok(shelf) };
            match opened.and_then(proven) {
                Ok(shelf) => {
                    let (items, bytes) = shelf.holds();
                    self.status.holds(items, bytes);
                    self.shelf = Some(shelf);
                    self.say(Ok(()));
                }
                Err(error) => self.say(Err(error)),
            }
        }
        self.shelf.as_mut()
    }

    /// Says once that nothing can be kept, and once that it can again.
    fn say(&mut self, done: Result<()>) {
        let path = self.settings.path.display();
        match done {
            Ok(()) if self.shelf.is_none() => {}
            Ok(()) => {
                self.has_failed = false;
                if self.status.fail(None) {
                    tracing::info!(%path, "crops are kept for retraining again");
                }
            }
            Err(error) => {
                self.has_failed = true;
                self.shelf = None;
                let why = format!(
                    "harvest.path: {path}: {error:#}. Make room or make the folder writable; the video goes on"
                );
                if self.status.fail(Some(why.clone())) {
                    tracing::error!("no crop is kept for retraining: {why}");
                }
            }
        }
    }
}

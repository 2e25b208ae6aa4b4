//! Crops kept for retraining: those whose map is uncertain or jumps, those that two models disagree on, and moments that a
//! person flagged.
//!
//! The engine's thread copies each crop and map into a buffer that it has at hand and goes on. One thread decides what is
//! kept, another writes it; a slow disk holds up neither the video nor the engine.
//!
//! Invariant: what is written is the crop, its map, and figures. Nothing names a patient, a file, an address or a machine.
//!
//! It may use the configuration, values, and the engine's answers.

mod case;
pub mod export;
mod figures;
mod item;
mod judge;
pub mod key;
mod onlooker;
mod picture;
mod shelf;
mod status;
mod stock;
mod writer;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, bounded};

pub use onlooker::Watcher;
pub use status::HarvestFigures;

use crate::config;
use crate::control::{Answer, ControlError, ErrorKind, Reason, Reply};
use judge::Judge;
use status::Status;
use stock::stock;
use writer::Writer;

/// Pictures that may wait to be written: a flag's burst, and some more.
const UNWRITTEN: usize = 16;
/// Flags that may wait to be heard.
const FLAGS: usize = 4;
/// How long the end waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps crops, until it is dropped.
pub struct Harvest {
    watcher: Arc<Watcher>,
    flagger: Flagger,
    /// Disconnected when all is written.
    done: Receiver<()>,
}

/// Flags moments; every hand that can has one.
#[derive(Clone)]
pub struct Flagger {
    flags: Sender<Reason>,
    status: Arc<Status>,
}

/// Why a moment was not flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFlagged {
    /// There is nothing to keep.
    #[error(
        "the model answers no pictures at present, so there is nothing to keep. Wait for a picture with AI on"
    )]
    NoPicture,
    /// Too many came at once.
    #[error("the moment before is still being kept. Try again")]
    Busy,
}

impl Harvest {
    /// Starts to keep what `settings` say of a source of this `kind`.
    ///
    /// # Errors
    /// When no thread can be started. A folder that cannot be used is no error: it is tried again, and said.
    pub fn start(settings: &config::Harvest, kind: &'static str) -> Result<Self> {
        let status = Arc::new(Status::default());
        let (buffers, seen) = stock();
        let (tasks, due) = bounded(UNWRITTEN);
        let (flags, flagged) = bounded(FLAGS);
        let (alive, done) = bounded(0);
        let writer = Writer::new(settings, kind, buffers.clone(), status.clone());
        let judge = Judge::new(settings, buffers.clone(), tasks, status.clone());
        let write = move || {
            writer.run(&due);
            drop(alive);
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).spawn(run).map(drop).context("cannot start a thread")
        };
        spawn("harvest-write", Box::new(write))?;
        spawn("harvest", Box::new(move || judge.run(&seen, &flagged)))?;
        let watcher = Arc::new(Watcher::new(buffers, status.clone()));
        let flagger = Flagger { flags, status };
        if let Some(key) = &settings.key {
            key::listen(key.clone(), flagger.clone())?;
        }
        Ok(Self { watcher, flagger, done })
    }

    /// Sees the engine's answers, and takes what others offer.
    pub fn watcher(&self) -> Arc<Watcher> {
        self.watcher.clone()
    }

    /// What was kept so far.
    pub fn figures(&self) -> HarvestFigures {
        self.flagger.status.figures()
    }

    /// Ends, when nobody shows it anything any more; waits a little for what is still to be written.
    pub fn finish(self) {
        self.watcher.end();
        if self.done.recv_timeout(PATIENCE) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            tracing::warn!("the last crops for retraining were not written in time");
        }
    }
}

impl Flagger {
    /// Keeps the pictures of the last second and of the next.
    ///
    /// # Errors
    /// When there are none.
    pub fn flag(&self, reason: Reason) -> Result<(), NotFlagged> {
        if !self.status.is_fresh(Instant::now()) {
            return Err(NotFlagged::NoPicture);
        }
        self.flags.try_send(reason).map_err(|_| NotFlagged::Busy)
    }
}

/// Flags a moment for who asked over the page; `harvest` is there if it is wanted.
///
/// # Errors
/// Why not.
pub fn flag(harvest: Option<&Harvest>, reason: Reason) -> Answer {
    let Some(harvest) = harvest else {
        let why = "nothing is kept for retraining on this cart: harvest.path is not set in its configuration";
        return Err(ControlError::new(ErrorKind::NotFound, why));
    };
    harvest.flagger.flag(reason).map(|()| Reply::Flagged).map_err(|why| {
        let kind = match why {
            NotFlagged::NoPicture => ErrorKind::Conflict,
            NotFlagged::Busy => ErrorKind::Unavailable,
        };
        ControlError::new(kind, why.to_string())
    })
}

//! Keeps a source open. One that is no file is waited for when it ends, fails or is not there yet.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, TryRecvError};

use crate::config::{Config, Source};
use crate::source::failure::SourceError;
use crate::source::gstreamer::Capture;
use crate::source::slot::{FrameCounts, Slot};
use crate::source::{self, OpenSource};
use crate::supervise::backoff::Backoff;
use crate::supervise::errand;

/// Longest wait before a device or pipeline is opened again.
const LONGEST: Duration = Duration::from_secs(8);
/// The same of a server, which costs little to ask.
const LONGEST_NETWORK: Duration = Duration::from_secs(5);

/// Opens the source, again and again where it is waited for.
pub struct SourceKeeper {
    config: Config,
    counts: Arc<FrameCounts>,
    stop: Arc<AtomicBool>,
    state: State,
    /// The pipeline that ended; it may hold the device until it is dropped.
    old: Option<Capture>,
    backoff: Backoff,
    /// The last reason that was logged: it is said once.
    said: Option<String>,
}

enum State {
    Opening(Receiver<Result<Option<OpenSource>>>),
    Open(Option<Capture>),
    Waiting(Instant),
}

impl SourceKeeper {
    /// Opens the source. One that is not waited for has to open now; any other opens meanwhile. None when the daemon is
    /// told to stop before.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn start(
        config: &Config,
        counts: &Arc<FrameCounts>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Option<(Self, Option<Slot>)>> {
        let now = Instant::now();
        let longest = if matches!(config.source, Source::Igtl(_)) { LONGEST_NETWORK } else { LONGEST };
        let mut this = Self {
            config: config.clone(),
            counts: counts.clone(),
            stop: stop.clone(),
            state: State::Waiting(now),
            old: None,
            backoff: Backoff::new(Duration::from_millis(500), longest),
            said: None,
        };
        if config.source.is_waited_for() {
            // What is wrong with the pipeline itself no waiting mends.
            source::gstreamer::check(&config.source, config.pad)?;
            return Ok(Some((this, None)));
        }
        let Some(OpenSource { slot, capture }) = source::open(config, counts, stop)? else { return Ok(None) };
        this.state = State::Open(capture);
        Ok(Some((this, Some(slot))))
    }

    /// Opens it where that is due; returns where its frames come from once it is.
    pub fn look(&mut self, now: Instant) -> Option<Slot> {
        match &self.state {
            State::Open(_) => None,
            State::Waiting(until) if now < *until || self.backoff.hangs() => None,
            State::Waiting(_) => {
                match self.begin_opening() {
                    Ok(opening) => self.state = State::Opening(opening),
                    Err(error) => self.fail(&error, now),
                }
                None
            }
            State::Opening(opening) => match opening.try_recv() {
                Err(TryRecvError::Empty) => None,
                Ok(Ok(Some(OpenSource { slot, capture }))) => {
                    self.state = State::Open(capture);
                    self.backoff.succeeded(now);
                    self.said = None;
                    tracing::info!(source = %self.config.source, "the source is open");
                    Some(slot)
                }
                Ok(Err(error)) => {
                    self.fail(&error, now);
                    None
                }
                // Told to stop, or its thread is gone.
                Ok(Ok(None)) | Err(TryRecvError::Disconnected) => {
                    self.state = State::Waiting(self.backoff.failed(now));
                    None
                }
            },
        }
    }

    /// It sent its last frame.
    ///
    /// # Errors
    /// How it ended, unless it is waited for.
    pub fn ended(&mut self, how: Result<(), SourceError>, now: Instant) -> Result<(), Ended> {
        if !self.config.source.is_waited_for() {
            return Err(Ended(how));
        }
        let why =
            how.err().map_or_else(|| format!("source {}: it ended", self.config.source), |e| e.to_string());
        let old = std::mem::replace(&mut self.state, State::Waiting(now));
        self.fail(&anyhow::Error::msg(why), now);
        if let State::Open(capture) = old {
            self.old = capture;
        }
        Ok(())
    }

    /// Why it is waited for, while it is.
    pub fn failure(&self) -> Option<&str> {
        self.said.as_deref()
    }

    fn begin_opening(&mut self) -> Result<Receiver<Result<Option<OpenSource>>>> {
        let (config, counts, stop) = (self.config.clone(), self.counts.clone(), self.stop.clone());
        let old = self.old.take();
        errand::run("source", move || {
            drop(old);
            source::open(&config, &counts, &stop)
        })
    }

    fn fail(&mut self, error: &anyhow::Error, now: Instant) {
        let why = format!("{error:#}");
        self.backoff.remember(error);
        self.state = State::Waiting(self.backoff.failed(now));
        if self.said.as_ref() != Some(&why) {
            tracing::error!(error = %why, "the source is waited for");
            self.said = Some(why);
        }
    }
}

/// How a source ended that is not waited for.
#[derive(Debug)]
pub struct Ended(pub Result<(), SourceError>);

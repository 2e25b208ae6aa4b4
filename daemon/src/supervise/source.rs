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
    /// How often it was opened.
    openings: u64,
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
        let mut this = Self {
            config: config.clone(),
            counts: counts.clone(),
            stop: stop.clone(),
            state: State::Waiting(now),
            old: None,
            backoff: backoff(&config.source),
            said: None,
            openings: 0,
        };
        if config.source.is_waited_for() {
            // What is wrong with the pipeline itself no waiting mends.
            source::check(&config.source, config.pad)?;
            return Ok(Some((this, None)));
        }
        let Some(OpenSource { slot, capture }) = source::open(config, counts, stop)? else { return Ok(None) };
        this.state = State::Open(capture);
        this.openings = 1;
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
                    self.openings += 1;
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
        let why = match how {
            Ok(()) => anyhow::anyhow!("source {}: it ended", self.config.source),
            Err(error) => error.into(),
        };
        let old = std::mem::replace(&mut self.state, State::Waiting(now));
        self.fail(&why, now);
        if let State::Open(capture) = old {
            self.old = capture;
        }
        Ok(())
    }

    /// Why it is waited for, while it is.
    pub fn failure(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// How often it was opened again.
    pub fn reconnects(&self) -> u64 {
        self.openings.saturating_sub(1)
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
        let is_free = error.downcast_ref::<SourceError>().is_some_and(SourceError::is_free);
        let until = if is_free { self.backoff.looked(now) } else { self.backoff.failed(now) };
        self.state = State::Waiting(until);
        if self.said.as_ref() != Some(&why) {
            tracing::error!(error = %why, "the source is waited for");
            self.said = Some(why);
        }
    }
}

/// The waits before a source is opened again. A stream that was there, however short, is asked for soon.
fn backoff(source: &Source) -> Backoff {
    let first = Duration::from_millis(500);
    match source {
        Source::Rtsp(_) => Backoff::new(first, LONGEST_NETWORK).with(Duration::ZERO, 0.4),
        Source::Igtl(_) => Backoff::new(first, LONGEST_NETWORK),
        _ => Backoff::new(first, LONGEST),
    }
}

/// How a source ended that is not waited for.
#[derive(Debug)]
pub struct Ended(pub Result<(), SourceError>);

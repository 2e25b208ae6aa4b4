//! Keeps the sinks open: each is tried again with back-off when it cannot open or fails, and takes nothing with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use gst_video::VideoInfo;

use crate::config;
use crate::control::{Answer, ControlError, ErrorKind, Reply};
use crate::path::{Change, SinkChange, SinkId, Sinks};
use crate::sink::{self, OutputStatus, RecordedFiles, Sink, SinkContext, SinkDrops, SinkError, SinkStatus};
use crate::status::SinkFigures;
use crate::supervise::backoff::Backoff;
use crate::supervise::errand;

/// How long all sinks together may take to finish their files.
pub const FINISH: Duration = Duration::from_secs(20);

type Opening = Receiver<Result<Box<dyn Sink>, SinkError>>;

/// Every configured sink.
pub struct SinkKeeper {
    sinks: Vec<Kept>,
    context: SinkContext,
    layout: Option<SinkLayout>,
    /// The layout that the frame path has not been told to be settled yet.
    unsettled: Option<u64>,
}

/// What sinks are opened for.
#[derive(Clone)]
struct SinkLayout {
    info: Arc<VideoInfo>,
    /// No frame has come yet: recordings begin with the first.
    is_placeholder: bool,
}

struct Kept {
    config: config::Sink,
    state: State,
    backoff: Backoff,
    /// Frames and drops of earlier openings.
    frames: u64,
    drops: SinkDrops,
    recorded: Option<RecordedFiles>,
    failures: u64,
    /// Why it is not open, if it failed.
    failure: Option<String>,
    /// Why it failed last, whatever came after.
    last_failure: Option<String>,
    name: String,
}

enum State {
    /// To be opened from this moment on.
    Waiting(Instant),
    /// Being opened for frames like these.
    Opening(Opening, Arc<VideoInfo>),
    Open(Arc<SinkStatus>),
    /// Being finished; then it waits.
    Finishing(Receiver<()>, Arc<SinkStatus>),
}

impl SinkKeeper {
    /// None is open yet.
    pub fn new(sinks: &[config::Sink], context: SinkContext) -> Self {
        let now = Instant::now();
        let kept = |config: &config::Sink| Kept {
            config: config.clone(),
            state: State::Waiting(now),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            frames: 0,
            drops: SinkDrops::default(),
            recorded: None,
            failures: 0,
            failure: None,
            last_failure: None,
            name: config.to_string(),
        };
        Self { sinks: sinks.iter().map(kept).collect(), context, layout: None, unsettled: None }
    }

    /// Frames have this layout from now on.
    pub fn lay_out(&mut self, number: u64, info: Arc<VideoInfo>, is_placeholder: bool) {
        self.layout = Some(SinkLayout { info, is_placeholder });
        self.unsettled = Some(number);
    }

    /// Opens and finishes where that is due; returns the changes for the frame path.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn look(&mut self, now: Instant) -> Result<Vec<Change>> {
        let mut changes = vec![];
        let Some(layout) = &self.layout else { return Ok(changes) };
        for (id, kept) in self.sinks.iter_mut().enumerate() {
            changes.extend(kept.look(id, layout, &self.context, now)?);
        }
        // A live video does not wait for screens: one that comes later has missed nothing.
        let live = self.context.live;
        let is_waited_for = |kept: &&Kept| !live || !kept.is_screen();
        if self.sinks.iter().filter(is_waited_for).all(|kept| kept.is_settled(layout, now))
            && let Some(number) = self.unsettled.take()
        {
            changes.push(Change::Settled(number));
        }
        Ok(changes)
    }

    /// Whether the frame path may be waiting for sinks to open.
    pub fn is_awaited(&self) -> bool {
        self.unsettled.is_some()
    }

    /// A sink left the frame path: it failed, or cannot follow the layout.
    pub fn retired(&mut self, id: SinkId, sink: Box<dyn Sink>) {
        if let Some(kept) = self.sinks.get_mut(id) {
            kept.finish(sink);
        }
    }

    /// Tries a sink again now that waits for its time.
    ///
    /// # Errors
    /// When there is no such sink, or nothing to try.
    pub fn retry(&mut self, id: SinkId, now: Instant) -> Answer {
        let Some(kept) = self.sinks.get_mut(id) else {
            let message = "there is no such sink. They are numbered from 0, as configured";
            return Err(ControlError::new(ErrorKind::NotFound, message));
        };
        let conflict = |message: &str| Err(ControlError::new(ErrorKind::Conflict, message));
        match &kept.state {
            State::Waiting(_) if kept.backoff.hangs() => {
                conflict("its last attempt still hangs, and another one would, too. Mend what it opens first")
            }
            State::Waiting(_) if kept.failure.is_none() => conflict("it waits for the first frame"),
            State::Waiting(_) => {
                kept.state = State::Waiting(now);
                Ok(Reply::SinkOpening { sink: id })
            }
            State::Opening(..) => Ok(Reply::SinkOpening { sink: id }),
            State::Finishing(..) => conflict("it is being finished. Try again in a moment"),
            State::Open(_) => conflict("this sink works"),
        }
    }

    /// Whether every sink has failed.
    pub fn have_all_failed(&self) -> bool {
        self.sinks.iter().all(|kept| kept.failure.is_some() && !matches!(kept.state, State::Open(_)))
    }

    /// What became of each.
    pub fn figures(&self) -> Vec<SinkFigures> {
        self.sinks.iter().map(Kept::figures).collect()
    }

    /// What failed, in words: sinks that are not open, and recordings with a gap.
    pub fn failures(&self) -> Vec<String> {
        let words = |kept: &Kept| {
            let is_recording = matches!(kept.config, config::Sink::File(_));
            let why = kept.last_failure.as_ref().filter(|_| kept.failure.is_some() || is_recording)?;
            let name = format!("sink {}: ", kept.name);
            let later = if kept.failure.is_none() { ". It was opened again later" } else { "" };
            Some(if why.starts_with("sink ") {
                format!("{why}{later}")
            } else {
                format!("{name}{why}{later}")
            })
        };
        self.sinks.iter().filter_map(words).collect()
    }

    /// Ends every sink, each file whole. Sinks finish side by side.
    pub fn finish(&mut self, mut left: Sinks) {
        let deadline = Instant::now() + FINISH;
        let opening_deadline = Instant::now() + FINISH / 10;
        left.iter_mut().for_each(|(_, sink)| sink.end());
        for (_, sink) in &mut left {
            sink.finish(deadline);
        }
        for (id, kept) in self.sinks.iter_mut().enumerate() {
            kept.give_up_opening(opening_deadline, &self.context);
            if let State::Finishing(done, status) = &kept.state {
                let (in_time, status) = (done.recv_deadline(deadline).is_ok(), status.clone());
                if !in_time {
                    status.fail("it did not finish in time; the end may be missing".into());
                }
                kept.close(&status);
            }
            if let Some((_, sink)) = left.iter().find(|(of, _)| *of == id) {
                kept.close(&sink.status());
            }
        }
    }
}

impl Kept {
    fn look(
        &mut self,
        id: SinkId,
        layout: &SinkLayout,
        context: &SinkContext,
        now: Instant,
    ) -> Result<Option<Change>> {
        match &self.state {
            State::Waiting(until) if now >= *until && self.is_wanted(layout) && !self.backoff.hangs() => {
                let opening = self.begin_opening(&layout.info, context)?;
                self.state = State::Opening(opening, layout.info.clone());
                Ok(None)
            }
            State::Waiting(_) => Ok(None),
            State::Opening(opening, info) => match opening.try_recv() {
                Err(TryRecvError::Empty) => Ok(None),
                Ok(Ok(sink)) => {
                    let (status, info) = (sink.status(), info.clone());
                    self.name = status.name().into();
                    self.failure = None;
                    self.backoff.succeeded(now);
                    self.state = State::Open(status);
                    Ok(Some(Change::Sink(SinkChange::Add(id, sink, info))))
                }
                Ok(Err(error)) => {
                    self.did_not_open(error, context, now);
                    Ok(None)
                }
                Err(TryRecvError::Disconnected) => {
                    self.fail("opening it crashed".into(), now);
                    Ok(None)
                }
            },
            State::Open(status) => {
                let Some(why) = status.failure().filter(|_| self.failure.is_none()) else { return Ok(None) };
                // It is opened again when the frame path has given it up.
                self.note(why);
                Ok(Some(Change::Sink(SinkChange::Remove(id))))
            }
            State::Finishing(done, status) => {
                if done.try_recv() != Err(TryRecvError::Empty) {
                    let status = status.clone();
                    self.close(&status);
                    let wait = if self.failure.is_some() { self.backoff.failed(now) } else { now };
                    self.state = State::Waiting(wait);
                }
                Ok(None)
            }
        }
    }

    /// No frame comes any more: an opening that ends by `deadline` is ended again.
    fn give_up_opening(&mut self, deadline: Instant, context: &SinkContext) {
        let State::Opening(opening, _) = &self.state else { return };
        match opening.recv_deadline(deadline) {
            Ok(Ok(mut sink)) => {
                sink.end();
                sink.finish(Instant::now() + FINISH / 10);
            }
            Ok(Err(error)) => self.did_not_open(error, context, Instant::now()),
            Err(_) => {}
        }
    }

    fn did_not_open(&mut self, error: SinkError, context: &SinkContext, now: Instant) {
        // One that was told to stop opening has not failed.
        if !context.stop.load(Ordering::Relaxed) {
            let (SinkError::Misconfigured(error) | SinkError::Unavailable(error)) = error;
            self.backoff.remember(&error);
            self.fail(format!("{error:#}"), now);
        }
    }

    fn is_screen(&self) -> bool {
        matches!(
            self.config,
            config::Sink::Display { .. }
                | config::Sink::Preview
                | config::Sink::Webrtc(_)
                | config::Sink::Rtsp(_)
        )
    }

    /// A recording begins with the source's first frame.
    fn is_wanted(&self, layout: &SinkLayout) -> bool {
        !layout.is_placeholder || !matches!(self.config, config::Sink::File(_))
    }

    /// Whether there is nothing to wait for: it is open, or failed, hangs, or is not wanted.
    fn is_settled(&self, layout: &SinkLayout, now: Instant) -> bool {
        match &self.state {
            State::Waiting(until) => now < *until || !self.is_wanted(layout) || self.backoff.hangs(),
            State::Open(_) => true,
            State::Opening(..) | State::Finishing(..) => false,
        }
    }

    fn begin_opening(&self, info: &Arc<VideoInfo>, context: &SinkContext) -> Result<Opening> {
        let (config, info, context) = (self.config.clone(), info.clone(), context.clone());
        errand::run("sink", move || sink::open(&config, &info, &context))
    }

    fn finish(&mut self, mut sink: Box<dyn Sink>) {
        let status = sink.status();
        let finished = errand::run("sink", move || {
            sink.end();
            sink.finish(Instant::now() + FINISH);
        });
        // Without a thread the sink is dropped, and its end with it.
        let finished = finished.unwrap_or_else(|_| bounded(0).1);
        self.state = State::Finishing(finished, status);
    }

    fn fail(&mut self, why: String, now: Instant) {
        // Whoever says it names the sink.
        let why = why.strip_prefix(&format!("sink {}: ", self.name)).map(Into::into).unwrap_or(why);
        if self.failure.as_ref() != Some(&why) {
            tracing::error!(sink = %self.name, reason = %why, "the sink cannot be opened; it is tried again");
        }
        self.note(why);
        self.state = State::Waiting(self.backoff.failed(now));
    }

    fn note(&mut self, why: String) {
        self.failures += 1;
        self.last_failure = Some(why.clone());
        self.failure = Some(why);
    }

    /// An opening is over: its counts are kept.
    fn close(&mut self, status: &SinkStatus) {
        let last = status.snapshot();
        self.frames += last.frames;
        self.drops = self.drops + last.dropped_by;
        self.recorded = RecordedFiles::sum(self.recorded.take(), last.recorded);
        if let Some(why) = last.failed
            && self.failure.is_none()
        {
            self.note(why);
        }
        self.state = State::Waiting(Instant::now());
    }

    fn figures(&self) -> SinkFigures {
        let now = match &self.state {
            State::Open(status) | State::Finishing(_, status) => Some(status.snapshot()),
            State::Waiting(_) | State::Opening(..) => None,
        };
        let drops = self.drops + now.as_ref().map_or_else(SinkDrops::default, |s| s.dropped_by);
        let output = OutputStatus {
            name: self.name.clone(),
            frames: self.frames + now.as_ref().map_or(0, |s| s.frames),
            dropped: drops.sum(),
            dropped_by: drops,
            recorded: RecordedFiles::sum(
                self.recorded.clone(),
                now.as_ref().and_then(|s| s.recorded.clone()),
            ),
            failed: now.as_ref().and_then(|s| s.failed.clone()).or_else(|| self.failure.clone()),
            viewers: now.as_ref().and_then(|s| s.viewers),
        };
        SinkFigures { output, failures: self.failures }
    }
}

#[cfg(test)]
mod tests;

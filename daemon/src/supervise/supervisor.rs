//! The supervisor's loop: it hears the frame thread, does what it is asked, and looks after engine, source and sinks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crossbeam_channel::{Receiver, Sender, TrySendError, never, select};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{Config, Source};
use crate::control::{Command, ControlError, ErrorKind, Reply, Request};
use crate::frame::describe;
use crate::harvest::{self, Harvest};
use crate::infer::DeviceLost;
use crate::path::{Change, Event, Retired, Sinks};
use crate::source::gstreamer::{STALL, STALLED};
use crate::source::slot::{FrameCounts, Slot};
use crate::status::{
    Counters, Events, FollowCell, LiveFigures, Moment, RunInfo, SignalLog, Snapshot, StatusCell, prometheus,
};
use crate::supervise::engine::{EngineKeeper, EngineNews};
use crate::supervise::models::{ModelKeeper, News};
use crate::supervise::reaper::Reaper;
use crate::supervise::report;
use crate::supervise::sinks::SinkKeeper;
use crate::supervise::source::{Ended, SourceKeeper};
use crate::supervise::systemd::Watchdog;
use crate::supervise::words::{log, say};

/// Time between two looks at everything.
const TICK: Duration = Duration::from_millis(20);
/// The same while a frame may wait for sinks to open.
const TICK_AWAITED: Duration = Duration::from_millis(1);
/// Time between snapshots of the figures.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);
/// Requests that may wait for the frame thread to take them.
const MOST_ASKED: usize = 16;

/// Everything that is looked after while frames pass.
pub struct Supervisor<'a> {
    /// As written.
    pub config: &'a Config,
    /// To the frame thread.
    pub changes: Sender<Change>,
    /// From the frame thread.
    pub heard: Receiver<Event>,
    /// From the page and other programs.
    pub requests: Receiver<Request>,
    /// The engine.
    pub engine: EngineKeeper,
    /// Models that come and go.
    pub models: ModelKeeper<'a>,
    /// Where events go.
    pub events: Events,
    /// What is kept for retraining, where that is wanted.
    pub harvest: Option<Harvest>,
    /// The source.
    pub source: SourceKeeper,
    /// The sinks.
    pub sinks: SinkKeeper,
    /// Where what is over goes.
    pub reaper: &'a Reaper,
    /// Quantiles and rates.
    pub figures: LiveFigures,
    /// The frame thread's counts.
    pub counters: Arc<Counters>,
    /// The sources' counts.
    pub frames: Arc<FrameCounts>,
    /// What changes seldom.
    pub run_info: RunInfo,
    /// What the signal is doing and has done.
    pub signal: SignalLog,
    /// Whether the overlay is wanted.
    pub overlay: bool,
    /// Who waits for the overlay to be switched.
    pub asked: VecDeque<Request>,
    /// Changes that the frame thread has had no room for.
    pub unsent: VecDeque<Change>,
    /// How the cart stands to the registry's tag that it follows.
    pub follow: FollowCell,
    /// Where the newest snapshot goes.
    pub cell: StatusCell,
    /// Renders Prometheus' text.
    pub metrics: PrometheusHandle,
    /// Set by a signal.
    pub stop: Arc<AtomicBool>,
}

impl Supervisor<'_> {
    /// Gives the frame thread its source.
    pub fn begin(&mut self, slot: Slot) {
        self.change(Change::Source(slot));
    }

    /// Looks after everything until the source ends, a signal comes, or nothing can be shown any more.
    ///
    /// # Errors
    /// What ended it early.
    pub fn run(&mut self) -> Result<()> {
        let mut watchdog = Watchdog::new();
        let mut snapshot_due = Instant::now();
        let mut log_due = snapshot_due + self.config.log_interval;
        let mut arrived = (0, snapshot_due);
        loop {
            select! {
                recv(self.heard) -> event => match event {
                    Ok(event) => if let Some(ended) = self.hear(event)? { return ended },
                    Err(_) => bail!("the frame thread crashed"),
                },
                recv(self.requests) -> request => match request {
                    Ok(request) => self.carry_out(request),
                    // Nobody can ask: there is no page.
                    Err(_) => self.requests = never(),
                },
                default(if self.sinks.is_awaited() { TICK_AWAITED } else { TICK }) => {}
            }
            let now = Instant::now();
            self.send_changes();
            self.figures.read_samples();
            self.look_at_engine(now)?;
            let news = self.models.look(&mut self.engine, now);
            self.take_news(news);
            self.look_at_source(now);
            for change in self.sinks.look(now)? {
                self.change(change);
            }
            if !self.config.source.is_live() && self.sinks.have_all_failed() {
                bail!("every sink has failed");
            }
            let frames = self.frames.arrived();
            let is_idle = frames == self.frames_done();
            if frames != arrived.0 || !is_idle {
                arrived = (frames, now);
            }
            self.wait_no_longer(arrived.1)?;
            // A video that is not live waits for slow sinks as long as that takes.
            let is_patient = !self.config.source.is_live();
            watchdog.look(self.counters.beats.load(Ordering::Relaxed), is_patient, now);
            if now >= snapshot_due {
                snapshot_due = now + SNAPSHOT_INTERVAL;
                let snapshot = self.snapshot(None, false);
                prometheus::publish(&snapshot);
                self.metrics.run_upkeep();
                if now >= log_due {
                    log_due = now + self.config.log_interval;
                    log(&snapshot);
                }
                self.cell.put(snapshot);
            }
            if self.stop.load(Ordering::Relaxed) {
                tracing::info!("stopping");
                return Ok(());
            }
        }
    }

    /// What the frame thread reports. Returns how the run ended, if it did.
    fn hear(&mut self, event: Event) -> Result<Option<Result<()>>> {
        match event {
            Event::Layout { number, info, problem, is_placeholder } => {
                if !is_placeholder {
                    self.describe_frames(describe(&info), problem.map(|problem| problem.to_string()));
                }
                self.sinks.lay_out(number, info, is_placeholder);
            }
            Event::SourceEnded(how) => match self.source.ended(how, Instant::now()) {
                Ok(()) => {}
                Err(Ended(Ok(()))) if self.run_info.frames.is_empty() => bail!(
                    "source {}: it ended without a single frame. Check that it holds video",
                    self.config.source
                ),
                Err(Ended(how)) => return Ok(Some(how.map_err(Into::into))),
            },
            Event::Signal(state) => {
                say(self.signal.state(), state);
                self.events.send("signal", &state);
                self.signal.enter(state, Instant::now());
            }
            Event::Sector { sector, crop, scale } => {
                tracing::info!(?sector, ?crop, scale, "the ultrasound picture was found");
                self.run_info.place(sector, crop, scale, self.config.region.spacing_mm);
            }
            Event::Overlay(enabled) => {
                if std::mem::replace(&mut self.overlay, enabled) != enabled {
                    tracing::info!(enabled, "overlay switched");
                }
                // One event for each that asked, in their order.
                if let Some(request) = self.asked.pop_front() {
                    request.answer(Ok(Reply::Overlay { enabled }));
                }
            }
            Event::Retired(Retired::Model(inference)) => {
                let news = self.models.retired(&mut self.engine, inference, Instant::now());
                self.take_news(news);
            }
            Event::Retired(Retired::Source(slot)) => self.reaper.take(slot),
            Event::Retired(Retired::Sink(id, sink)) => self.sinks.retired(id, sink),
            Event::Ended(how) => return Ok(Some(how)),
        }
        Ok(None)
    }

    fn describe_frames(&mut self, frames: String, problem: Option<String>) {
        let was = std::mem::replace(&mut self.run_info.frames, frames);
        let is = &self.run_info.frames;
        if was.is_empty() {
            tracing::info!(frames = %is, source = %self.run_info.source, "running");
            self.figures.begin();
        } else {
            let remedy = match self.config.source {
                Source::File { .. } => {
                    ". Give the file one size and format first, such as with ffmpeg -vf scale=W:H, to record it in one"
                }
                _ => "",
            };
            tracing::warn!(
                "the source's frames changed from {was} to {is}; recordings go on in their next file{remedy}"
            );
        }
        if let Some(problem) = &problem {
            tracing::error!("there is no overlay: {problem}");
        }
        self.run_info.frames_problem = problem;
        self.run_info.sector = None;
    }

    fn carry_out(&mut self, request: Request) {
        let refused = |kind, message: &str| Err(ControlError::new(kind, message));
        match request.command {
            Command::SetOverlay { .. } if self.asked.len() >= MOST_ASKED => {
                request.answer(refused(ErrorKind::Unavailable, "too many have asked at once. Try again"));
            }
            Command::SetOverlay { enabled } => {
                self.change(Change::Overlay(enabled));
                // Answered when the frame thread has taken it.
                self.asked.push_back(request);
            }
            Command::ReopenEngine if self.engine.is_opening() => {
                request
                    .answer(refused(ErrorKind::Conflict, "the engine is being opened already. Wait for it"));
            }
            Command::ReopenEngine => {
                self.engine.reopen();
                request.answer(Ok(Reply::EngineOpening));
            }
            Command::Flag { reason } => request.answer(harvest::flag(self.harvest.as_ref(), reason)),
            Command::Model(ref what) => {
                let what = what.clone();
                let news = self.models.carry_out(request, what, &mut self.engine);
                self.take_news(news);
            }
            Command::RetrySink { sink } => request.answer(self.sinks.retry(sink, Instant::now())),
        }
    }

    fn look_at_engine(&mut self, now: Instant) -> Result<()> {
        for news in self.engine.look(now) {
            match news {
                EngineNews::Runs(model) => {
                    self.run_info.engine = model.engine.clone();
                    self.run_info.engine_generation = model.generation;
                    self.run_info.engine_failed = None;
                    self.events.send("engine", &*model);
                }
                EngineNews::Failed(why) => {
                    // Opening it is tried again every second.
                    if self.run_info.engine_failed.as_ref() != Some(&why) {
                        tracing::error!(error = %why, "there is no engine; the video goes on without overlay");
                    }
                    self.run_info.engine_failed = Some(why);
                }
                EngineNews::Lost(why) => return Err(DeviceLost(why).into()),
                EngineNews::Replacement(inference) => self.change(Change::Model(inference)),
                EngineNews::Hangs(busy) => {
                    let news = self.models.hangs(busy.as_secs_f64(), &mut self.engine, now);
                    self.take_news(news);
                }
                EngineNews::Candidate(opened) => {
                    let news = self.models.candidate(opened, &mut self.engine, now);
                    self.take_news(news);
                }
            }
        }
        Ok(())
    }

    fn take_news(&mut self, news: News) {
        if let Some((model, figures)) = news.shown {
            self.run_info.model = figures;
            self.run_info.engine_failed = None;
            if let Some(model) = model {
                self.run_info.engine = model.engine.clone();
                self.run_info.engine_generation = model.generation;
                self.events.send("engine", &*model);
            }
        }
        news.changes.into_iter().for_each(|change| self.change(change));
    }

    fn look_at_source(&mut self, now: Instant) {
        if let Some(slot) = self.source.look(now) {
            self.change(Change::Source(slot));
        }
    }

    /// Ends the wait for a frame since `heard`, unless the source may be silent.
    fn wait_no_longer(&self, heard: Instant) -> Result<()> {
        let source = &self.config.source;
        if heard.elapsed() > STALL && !source.may_be_silent() {
            bail!("source {source}: no frame and no end has come for {STALL:?}. {STALLED}");
        }
        Ok(())
    }

    /// Frames that were shown or dropped.
    fn frames_done(&self) -> u64 {
        let shown = self.counters.frames_out.load(Ordering::Relaxed);
        shown + self.frames.displaced() + self.frames.discarded()
    }

    /// Sends a change to the frame thread, in its turn. None is lost while that is busy.
    fn change(&mut self, change: Change) {
        self.unsent.push_back(change);
        self.send_changes();
    }

    fn send_changes(&mut self) {
        while let Some(change) = self.unsent.pop_front() {
            match self.changes.try_send(change) {
                Ok(()) => {}
                Err(TrySendError::Full(change)) => return self.unsent.push_front(change),
                // It has ended, and says so itself.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    fn snapshot(&mut self, error: Option<String>, has_ended: bool) -> Snapshot {
        self.run_info.source_failed = self.source.failure().map(Into::into);
        self.run_info.source_reconnects = self.source.reconnects();
        let (sinks, build) = (self.sinks.figures(), self.engine.progress());
        let signal = self.signal.figures(Instant::now());
        let models = self.models.moment(Instant::now());
        let (follow, harvest) = (self.follow.get(), self.harvest.as_ref().map(Harvest::figures));
        let moment = Moment { signal, sinks, build, models, follow, harvest, error, has_ended };
        self.figures.snapshot(&self.run_info, moment)
    }

    /// Finishes the sinks that the frame path left, writes the report, and says how the run `ended`.
    ///
    /// # Errors
    /// What ended it early, and sinks that failed.
    pub fn finish(&mut self, mut left: Sinks, ended: Result<()>) -> Result<()> {
        // What the frame thread reported last.
        for event in self.heard.try_iter() {
            match event {
                Event::Retired(Retired::Sink(id, sink)) => left.push((id, sink)),
                Event::Retired(Retired::Model(inference)) => self.reaper.take(inference),
                Event::Retired(Retired::Source(slot)) => self.reaper.take(slot),
                Event::Signal(state) => self.signal.enter(state, Instant::now()),
                Event::Layout { .. }
                | Event::SourceEnded(_)
                | Event::Sector { .. }
                | Event::Overlay(_)
                | Event::Ended(_) => {}
            }
        }
        self.sinks.finish(left);
        let is_device_lost = ended.as_ref().is_err_and(|error| error.is::<DeviceLost>());
        let why = ended.err().map(|error| format!("{error:#}"));
        let errors: Vec<_> = why.into_iter().chain(self.sinks.failures()).collect();
        let error = (!errors.is_empty()).then(|| errors.join("\n"));
        let snapshot = self.snapshot(error.clone(), true);
        // Before anything is printed: nobody need be there to read it.
        let written = report::write(self.config, &snapshot);
        outln!("{}", snapshot.table());
        match (error, written) {
            (None, written) => written,
            (Some(error), Ok(())) if is_device_lost => Err(DeviceLost(error).into()),
            (Some(error), Ok(())) => bail!(error),
            (Some(error), Err(unwritten)) => bail!("{error}\n{unwritten:#}"),
        }
    }
}

//! One frame's way, and what lives as long as the daemon: engine, sinks, mask, time line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crossbeam_channel::Sender;
use gst_video::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo};
use nervelight_engines::contract;

use crate::config::SyncMode;
use crate::frame::{Frame, OverlayState, Picture, Sector, SignalState};
use crate::infer::{Inference, Model, Origin};
use crate::path::change::{Change, Event, Retired, SinkChange, Sinks};
use crate::path::layout::Layout;
use crate::path::mask::Mask;
use crate::path::observer::Observer;
use crate::path::overlay_state::{Facts, OverlayJudge};
use crate::path::sector::SectorFinder;
use crate::path::settings::PathSettings;
use crate::path::signal::Signal;
use crate::path::timeline::Timeline;
use crate::sink::preview::State;
use crate::status::{FrameFigures, Tally};

/// Time between two frames that say NO SIGNAL.
const INSERT_INTERVAL: Duration = Duration::from_millis(100);

/// Everything a frame passes.
pub struct FramePath {
    settings: PathSettings,
    layout: Option<Layout>,
    observer: Option<Observer>,
    finder: Option<SectorFinder>,
    /// Where the ultrasound picture was found, and whether it was somewhere before; not used yet.
    found: Option<Sector>,
    has_sector: bool,
    timeline: Timeline,
    signal: Signal,
    inference: Inference,
    /// The engine before it, while that is at a crop that may be shown.
    leaving: Option<Inference>,
    mask: Mask,
    /// When the frame of `mask` arrived, and the model it came from; none before the first.
    mask_of: Option<(Instant, Arc<Model>)>,
    /// The engine's last answer was an error.
    failing: bool,
    judge: OverlayJudge,
    enabled: bool,
    state: OverlayState,
    sinks: Sinks,
    tally: Tally,
    events: Sender<Event>,
    number: u64,
    /// Crops of earlier frames were cut from another layout or source: their masks lie elsewhere.
    first_of_layout: u64,
    layouts: u64,
    is_placeholder: bool,
    inserted: Option<Instant>,
}

impl FramePath {
    /// A path without sinks and source; `events` hears what happens on it.
    pub fn new(settings: PathSettings, inference: Inference, tally: Tally, events: Sender<Event>) -> Self {
        Self {
            layout: None,
            observer: None,
            finder: None,
            found: None,
            has_sector: false,
            timeline: Timeline::default(),
            signal: Signal::new(Instant::now()),
            inference,
            leaving: None,
            mask: Mask::default(),
            mask_of: None,
            failing: false,
            judge: OverlayJudge::new(settings.max_mask_age),
            enabled: settings.enabled,
            state: OverlayState::Off,
            sinks: vec![],
            tally,
            events,
            number: 0,
            first_of_layout: 0,
            layouts: 0,
            is_placeholder: false,
            inserted: None,
            settings,
        }
    }

    /// Makes a change. What leaves the path goes to the supervisor.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Model(inference) => self.change_model(inference),
            Change::Sink(SinkChange::Add(id, mut sink, info)) => {
                // The layout may have changed while it opened.
                let mut goes_on = |layout: &Layout| layout.fits(&info) || sink.follow(&layout.info);
                match self.layout.as_ref().is_none_or(&mut goes_on) {
                    true => self.sinks.push((id, sink)),
                    false => self.retire(Retired::Sink(id, sink)),
                }
            }
            Change::Sink(SinkChange::Remove(id)) => {
                if let Some(at) = self.sinks.iter().position(|(of, _)| *of == id) {
                    let (id, sink) = self.sinks.remove(at);
                    self.retire(Retired::Sink(id, sink));
                }
            }
            Change::Overlay(enabled) => {
                self.enabled = enabled;
                self.report(Event::Overlay(enabled));
            }
            // The thread's own.
            Change::Source(_) | Change::Settled(_) => {}
        }
    }

    /// The next frame comes from another source.
    pub fn change_source(&mut self) {
        self.timeline.change_source();
        self.forget_mask();
    }

    /// Makes the layout fit frames like `info` that come `at`. Returns its number if it changed.
    pub fn prepare(&mut self, info: &Arc<VideoInfo>, at: Instant) -> Option<u64> {
        if self.layout.as_ref().is_some_and(|layout| layout.fits(info)) && !self.is_placeholder {
            return None;
        }
        if self.layout.is_some() && !self.is_placeholder {
            self.signal.geometry(at);
        }
        self.lay_out(Layout::new(&self.settings.layout, info.clone()), false);
        Some(self.layouts)
    }

    fn lay_out(&mut self, layout: Layout, is_placeholder: bool) {
        let info = layout.info.clone();
        let mut followed = vec![];
        for (id, mut sink) in self.sinks.drain(..) {
            match sink.follow(&info) {
                true => followed.push((id, sink)),
                false => drop(self.events.send(Event::Retired(Retired::Sink(id, sink)))),
            }
        }
        self.sinks = followed;
        let problem = layout.crop.as_ref().err().cloned();
        let observer = layout.observer();
        self.finder = self.settings.layout.auto.then(|| SectorFinder::new(&observer.grid()));
        self.observer = Some(observer);
        (self.found, self.has_sector) = (None, false);
        self.layout = Some(layout);
        self.is_placeholder = is_placeholder;
        self.forget_mask();
        self.layouts += 1;
        self.report(Event::Layout { number: self.layouts, info, problem, is_placeholder });
    }

    fn forget_mask(&mut self) {
        self.mask_of = None;
        self.first_of_layout = self.number + 1;
    }

    /// Takes a frame all the way; returns it as it was shown.
    ///
    /// # Errors
    /// When the frame's memory cannot be mapped.
    pub fn pass(&mut self, mut frame: Frame) -> Result<gst::Buffer> {
        let begun = Instant::now();
        self.prepare(&frame.info, frame.arrived);
        self.move_crop(frame.arrived);
        self.number += 1;
        self.place(&mut frame);
        self.observe(&frame)?;
        self.read_answers();
        let waited = self.ask(&frame)?;
        let arrived = frame.arrived;
        self.state = self.judge(arrived);
        let dice = self.score(&frame);
        let mask_age = self.annotate(&mut frame)?;
        let spacing = self.settings.spacing.or(frame.spacing);
        let nerve = self.measure(spacing);
        self.tally.nerve(nerve);
        let (ai, picture) = (self.state, self.signal.state());
        self.show(&frame.buffer, State { ai, signal: true, picture, nerve, arrived }, spacing);
        let (latency, overhead) = (arrived.elapsed(), begun.elapsed().saturating_sub(waited));
        let is_scan = self.shows_scan();
        self.tally.shown(FrameFigures { state: self.state, latency, overhead, mask_age, dice, is_scan });
        Ok(frame.buffer)
    }

    /// Gives the frame its time on the daemon's time line.
    fn place(&mut self, frame: &mut Frame) {
        let own = frame.buffer.pts();
        let at = self.timeline.place(own, frame.buffer.duration(), frame.arrived);
        if own != Some(at) {
            frame.buffer.make_mut().set_pts(at);
        }
    }

    /// No frame has come by `now`. A live source that is silent for long is shown as NO SIGNAL, in the place of the
    /// picture that stands still on the monitor; recordings do not get it. Returns the frame, if one was shown.
    ///
    /// # Errors
    /// When there is no memory for a frame.
    pub fn wait(&mut self, now: Instant) -> Result<Option<gst::Buffer>> {
        self.let_leave();
        if !self.settings.is_live {
            return Ok(None);
        }
        let before = self.signal.state();
        let state = self.signal.silence(now);
        self.report_signal(before);
        let is_early = self.inserted.is_some_and(|at| now.saturating_duration_since(at) < INSERT_INTERVAL);
        if state != SignalState::NoSignal || is_early {
            return Ok(None);
        }
        self.inserted = Some(now);
        if self.layout.is_none() {
            let layout = Layout::placeholder(&self.settings.layout)?;
            self.lay_out(layout, true);
        }
        let Some(layout) = &self.layout else { return Ok(None) };
        let mut buffer = layout.no_signal()?;
        buffer.make_mut().set_pts(self.timeline.insert(now));
        self.state = OverlayState::Off;
        self.forget_mask();
        self.show(
            &buffer,
            State { ai: self.state, signal: false, picture: state, nerve: None, arrived: now },
            None,
        );
        self.tally.inserted(self.state);
        Ok(Some(buffer))
    }

    /// Gives the engine the frame's crop; in `exact` mode waits for the answer. Returns the time spent waiting.
    fn ask(&mut self, frame: &Frame) -> Result<Duration> {
        let Some(layout) = &self.layout else { return Ok(Duration::ZERO) };
        let readable = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &layout.info)
            .context("a frame's memory cannot be read")?;
        let stride = readable.plane_stride()[0] as usize;
        let luma = readable.plane_data(0).context("a frame has no luma")?;
        let is_exact = self.settings.mode == SyncMode::Exact;
        if is_exact {
            self.mask_of = None;
        }
        // A crop is not begun where the engine is not open, and in `exact` mode while it hangs over an earlier frame:
        // waiting again would stop the video.
        let is_ready = self.inference.is_open() && (!is_exact || self.inference.is_idle());
        let mut is_asked = false;
        if let (Ok(cropper), true) = (&layout.crop, is_ready) {
            let fill = |crop: &mut contract::Plane| cropper.copy(luma, stride, crop);
            let spacing = self.settings.spacing.or(frame.spacing);
            let of = Origin {
                number: self.number,
                scene: self.first_of_layout,
                arrived: frame.arrived,
                spacing: spacing.map(|spacing| spacing.map(|mm| mm * cropper.scale())),
                is_scan: self.shows_scan(),
                has_picture: !self.settings.is_live || self.signal.state().has_picture(),
            };
            let skipped = self.inference.submit(of, fill);
            self.tally.crops_skipped(skipped);
            is_asked = true;
        } else {
            self.tally.crops_skipped(1);
        }
        drop(readable);
        if is_exact && is_asked { Ok(self.wait_for_answer()) } else { Ok(Duration::ZERO) }
    }

    /// The frame's own mask, or none.
    fn wait_for_answer(&mut self) -> Duration {
        let begun = Instant::now();
        if let Some(job) = self.inference.answer(self.settings.engine_timeout) {
            let waited = begun.elapsed();
            self.read(&job, true);
            self.inference.recycle(job);
            return waited;
        }
        tracing::error!(
            frame = self.number,
            timeout_ms = self.settings.engine_timeout.as_millis() as u64,
            "the engine hangs; the video goes on without overlay"
        );
        begun.elapsed()
    }

    fn judge(&mut self, arrived: Instant) -> OverlayState {
        let hangs = self.inference.busy_for() > self.settings.engine_timeout;
        let is_small = self.layout.as_ref().is_none_or(|layout| layout.crop.is_err());
        self.judge.overlay_state(Facts {
            arrived,
            enabled: self.enabled,
            fails: self.failing || hangs || is_small || !self.signal.state().has_picture(),
            mask_of: self.mask_of.as_ref().map(|(of, _)| *of),
        })
    }

    /// Draws what belongs on the frame; returns the age of the mask that it carries.
    fn annotate(&mut self, frame: &mut Frame) -> Result<Option<Duration>> {
        let Some(layout) = &self.layout else { return Ok(None) };
        let signal = self.signal.state();
        let (badge, note) = (layout.badge(self.state, signal), layout.note(self.state, signal));
        let mask_age = match (self.state, &self.mask_of) {
            (OverlayState::On, Some((of, _))) => Some(of.elapsed()),
            _ => None,
        };
        let is_drawn = mask_age.is_some() && self.mask.area > 0;
        if badge.is_none() && note.is_none() && !is_drawn {
            return Ok(mask_age);
        }
        // A decoder may still refer to the buffer for the next frames; then this copies it.
        let mut writable = VideoFrameRef::from_buffer_ref_writable(frame.buffer.make_mut(), &layout.info)
            .context("a frame's memory cannot be written")?;
        let mut picture = Picture::of(&mut writable);
        match (badge, &layout.crop) {
            (Some(badge), _) => layout.draw_badge(badge, &mut picture),
            (None, Ok(crop)) if is_drawn => crop.draw(&mut picture, &self.mask, &layout.style),
            (None, _) => {}
        }
        if let Some(note) = note {
            layout.draw_note(note, &mut picture);
        }
        Ok(mask_age)
    }

    /// The thread is alive.
    pub fn beat(&self) {
        self.tally.beat();
    }

    /// Reports to the supervisor, without waiting.
    pub fn report(&self, event: Event) {
        // At the end nobody listens any more.
        let _ = self.events.send(event);
    }

    /// Hands a part that left the path to the supervisor.
    pub fn retire(&self, part: Retired) {
        self.report(Event::Retired(part));
    }

    /// Everything that has to be ended, once no frame comes any more.
    pub fn dismantle(mut self) -> (Inference, Sinks) {
        if let Some(leaving) = self.leaving.take() {
            self.retire(Retired::Model(leaving));
        }
        (self.inference, self.sinks)
    }
}

mod answers;
mod observe;
mod show;
#[cfg(test)]
mod tests;

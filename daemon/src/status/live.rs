//! Live figures: the supervisor's quantiles and rates, made of the frame thread's counters and samples.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam_channel::Receiver;
use nervelight_engines::BuildProgress;

use crate::harvest::HarvestFigures;
use crate::redact::redact;
use crate::sink::OutputStatus;
use crate::source::slot::FrameCounts;
use crate::status::counters::{Counters, Sample};
use crate::status::deployment::ModelsMoment;
use crate::status::distribution::{Distribution, Recent};
use crate::status::follow::FollowFigures;
use crate::status::signal::SignalFigures;
use crate::status::snapshot::{DroppedBy, LastMinute, RunInfo, Signal, SinkFigures, Snapshot};

/// Figures of the run up to now.
pub struct LiveFigures {
    started: Instant,
    counters: Arc<Counters>,
    frames: Arc<FrameCounts>,
    samples: Receiver<Sample>,
    engine: Distribution,
    latency: Distribution,
    overhead: Distribution,
    mask_age: Distribution,
    shown: Recent<u64>,
    dice: (f64, u64),
}

/// What the supervisor knows besides.
pub struct Moment {
    /// What the signal is doing.
    pub signal: SignalFigures,
    /// What became of the sinks.
    pub sinks: Vec<SinkFigures>,
    /// How far the build of the engine is, while there is one.
    pub build: Option<BuildProgress>,
    /// Deployments, and models that are not shown.
    pub models: ModelsMoment,
    /// How the cart stands to the tag that it follows.
    pub follow: Option<FollowFigures>,
    /// What was kept for retraining, where that is wanted.
    pub harvest: Option<HarvestFigures>,
    /// Why the run ended early.
    pub error: Option<String>,
    /// No frame comes any more: what was not shown is lost.
    pub has_ended: bool,
}

impl LiveFigures {
    /// Everything at zero, from now on.
    pub fn new(counters: Arc<Counters>, frames: Arc<FrameCounts>, samples: Receiver<Sample>) -> Self {
        let started = Instant::now();
        Self {
            started,
            counters,
            frames,
            samples,
            engine: Distribution::new(metrics::histogram!("nervelight_engine_seconds")),
            latency: Distribution::new(metrics::histogram!("nervelight_latency_seconds")),
            overhead: Distribution::new(metrics::histogram!("nervelight_overhead_seconds")),
            mask_age: Distribution::new(metrics::histogram!("nervelight_mask_age_seconds")),
            shown: Recent::new(started, || 0),
            dice: (0.0, 0),
        }
    }

    /// Rates count from now on: the first frame has come.
    pub fn begin(&mut self) {
        self.started = Instant::now();
        self.shown = Recent::new(self.started, || 0);
    }

    /// Takes in what was measured since the last time.
    pub fn read_samples(&mut self) {
        let now = Instant::now();
        for sample in self.samples.try_iter() {
            match sample {
                Sample::Engine(took) => self.engine.record(took, now),
                Sample::Frame(frame) => {
                    *self.shown.at(now, |n| *n = 0) += 1;
                    self.latency.record(frame.latency, now);
                    self.overhead.record(frame.overhead, now);
                    if let Some(age) = frame.mask_age {
                        self.mask_age.record(age, now);
                    }
                    if let Some(dice) = frame.dice {
                        self.dice = (self.dice.0 + dice, self.dice.1 + 1);
                    }
                }
            }
        }
    }

    /// A copy for everybody else, without credentials.
    pub fn snapshot(&mut self, run: &RunInfo, moment: Moment) -> Snapshot {
        self.read_samples();
        let now = Instant::now();
        let seconds = now.saturating_duration_since(self.started).as_secs_f64();
        // Read in this order no frame is out that has not come in.
        let frames_out = self.counters.frames_out.load(Relaxed);
        let (capture, discarded) = (self.frames.displaced(), self.frames.discarded());
        let arrived = self.frames.arrived();
        let stop = if moment.has_ended { arrived.saturating_sub(capture + frames_out) } else { discarded };
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            run: run.shown(),
            ai: self.counters.overlay_state(),
            signal: Signal { figures: moment.signal, luma: self.counters.luma() },
            nerve: self.counters.nerve(),
            uptime_s: (seconds * 1000.0).round() / 1000.0,
            fps: rate(frames_out, seconds),
            frames_in: arrived,
            frames_out,
            dropped: capture + stop,
            dropped_by: DroppedBy { capture, stop },
            frames_masked: count(&self.counters.masked),
            frames_badged: count(&self.counters.badged),
            frames_inserted: count(&self.counters.inserted),
            crops_skipped: count(&self.counters.crops_skipped),
            engine_errors: count(&self.counters.engine_errors),
            engine_ms: self.engine.quantiles(),
            latency_ms: self.latency.quantiles(),
            overhead_ms: self.overhead.quantiles(),
            mask_age_ms: self.mask_age.quantiles(),
            last_minute: self.last_minute(now),
            dice: (self.dice.1 > 0).then(|| (self.dice.0 / self.dice.1 as f64 * 1e4).round() / 1e4),
            dice_frames: self.dice.1,
            sinks: moment.sinks.into_iter().map(shown).collect(),
            engine_build: moment.build,
            models: moment.models,
            follow: moment.follow,
            harvest: moment.harvest.map(harvest),
            error: moment.error.map(|error| redact(&error).into_owned()),
        }
    }

    fn last_minute(&mut self, now: Instant) -> LastMinute {
        self.shown.at(now, |n| *n = 0);
        LastMinute {
            fps: rate(self.shown.slices().iter().sum(), self.shown.seconds(now)),
            engine_ms: self.engine.last_minute(now),
            latency_ms: self.latency.last_minute(now),
            overhead_ms: self.overhead.last_minute(now),
            mask_age_ms: self.mask_age.last_minute(now),
        }
    }
}

fn rate(frames: u64, seconds: f64) -> f64 {
    (frames as f64 / seconds.max(1e-3) * 10.0).round() / 10.0
}

/// Without credentials.
fn harvest(figures: HarvestFigures) -> HarvestFigures {
    let failed = figures.failed.as_deref().map(|why| redact(why).into_owned());
    HarvestFigures { failed, ..figures }
}

/// Without credentials.
fn shown(sink: SinkFigures) -> SinkFigures {
    let clean = |text: &str| redact(text).into_owned();
    let OutputStatus { name, failed, .. } = &sink.output;
    let output = OutputStatus { name: clean(name), failed: failed.as_deref().map(clean), ..sink.output };
    SinkFigures { output, ..sink }
}

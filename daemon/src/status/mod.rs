//! Figures: what the daemon did, counted in the frame's way and read everywhere else as snapshots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nervelight_engines::BuildProgress;
use nervelight_engines::EngineInfo;
use serde::{Deserialize, Serialize};

use crate::config::SyncMode;
use crate::redact::redact;
use crate::sink::OutputStatus;

/// What the overlay shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ai {
    /// Every frame carries a mask that is fresh enough.
    On,
    /// The newest mask is too old to show.
    Stale,
    /// The engine fails, hangs or has not answered yet.
    Off,
    /// Somebody switched the overlay off.
    Disabled,
}

/// Counts and distributions, owned by the frame's way.
pub struct Figures {
    started: Instant,
    /// Frames shown.
    pub frames_out: u64,
    /// Frames shown with a mask of the engine, be it empty.
    pub masked: u64,
    /// Frames shown under a badge.
    pub badged: u64,
    /// Black frames shown while the source was silent.
    pub inserted: u64,
    /// Crops that the engine had no time for.
    pub crops_skipped: u64,
    /// Answers of the engine that were errors.
    pub engine_errors: u64,
    engine: Distribution,
    latency: Distribution,
    overhead: Distribution,
    mask_age: Distribution,
    dice: (f64, u64),
}

/// A distribution of durations: 1 us to 60 s, three digits.
struct Distribution {
    histogram: Histogram<u64>,
    metric: metrics::Histogram,
}

/// Quantiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

impl Distribution {
    fn new(metric: metrics::Histogram) -> Self {
        // The bounds are constants that the histogram accepts.
        let histogram = Histogram::new_with_max(60_000_000, 3).unwrap_or_else(|_| unreachable!());
        Self { histogram, metric }
    }

    fn record(&mut self, duration: Duration) {
        self.histogram.saturating_record(duration.as_micros() as u64);
        self.metric.record(duration.as_secs_f64());
    }

    fn quantiles(&self) -> Quantiles {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |q: f64| ms(self.histogram.value_at_quantile(q));
        Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: ms(self.histogram.max()) }
    }
}

impl Figures {
    /// Everything at zero, from now on.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            frames_out: 0,
            masked: 0,
            badged: 0,
            inserted: 0,
            crops_skipped: 0,
            engine_errors: 0,
            engine: Distribution::new(metrics::histogram!("nervelight_engine_seconds")),
            latency: Distribution::new(metrics::histogram!("nervelight_latency_seconds")),
            overhead: Distribution::new(metrics::histogram!("nervelight_overhead_seconds")),
            mask_age: Distribution::new(metrics::histogram!("nervelight_mask_age_seconds")),
            dice: (0.0, 0),
        }
    }

    /// The engine answered after `took`.
    pub fn engine(&mut self, took: Duration) {
        self.engine.record(took);
    }

    /// A frame was shown `latency` after it arrived; `overhead` of that is not the engine's.
    pub fn shown(&mut self, latency: Duration, overhead: Duration) {
        self.frames_out += 1;
        self.latency.record(latency);
        self.overhead.record(overhead);
    }

    /// A mask was shown that is this old.
    pub fn mask_age(&mut self, age: Duration) {
        self.mask_age.record(age);
    }

    /// A frame with a nerve was shown with a mask of this Dice against the truth.
    pub fn dice(&mut self, dice: f64) {
        self.dice.0 += dice;
        self.dice.1 += 1;
    }

    /// A copy for everybody else.
    pub fn snapshot(&self, context: &Context, now: Now) -> Snapshot {
        let elapsed = self.started.elapsed().as_secs_f64();
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            context: context.shown(),
            ai: now.ai,
            uptime_s: (elapsed * 1000.0).round() / 1000.0,
            fps: (self.frames_out as f64 / elapsed.max(1e-3) * 10.0).round() / 10.0,
            frames_in: now.arrived,
            frames_out: self.frames_out,
            dropped: now.displaced + now.discarded,
            dropped_by: DroppedBy { capture: now.displaced, stop: now.discarded },
            frames_masked: self.masked,
            frames_badged: self.badged,
            frames_inserted: self.inserted,
            crops_skipped: self.crops_skipped,
            engine_errors: self.engine_errors,
            engine_ms: self.engine.quantiles(),
            latency_ms: self.latency.quantiles(),
            overhead_ms: self.overhead.quantiles(),
            mask_age_ms: self.mask_age.quantiles(),
            dice: (self.dice.1 > 0).then(|| (self.dice.0 / self.dice.1 as f64 * 1e4).round() / 1e4),
            dice_frames: self.dice.1,
            sinks: now.sinks.into_iter().map(shown).collect(),
            engine_build: now.build,
            error: now.error.map(|error| redact(&error).into_owned()),
        }
    }
}

/// What does not change while the daemon runs.
#[derive(Debug, Clone, Serialize)]
pub struct Context {
    /// The source as configured.
    pub source: String,
    /// Size and rate of its frames, once the first has come.
    pub frames: String,
    /// What computes the masks, or will once it is open.
    pub engine: EngineInfo,
    /// Why it could not be opened; the video goes on without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_failed: Option<String>,
    /// How masks and frames are matched.
    pub sync: SyncMode,
}

impl Context {
    /// Without credentials.
    fn shown(&self) -> Self {
        let clean = |text: &str| redact(text).into_owned();
        Self {
            source: clean(&self.source),
            engine_failed: self.engine_failed.as_deref().map(clean),
            ..self.clone()
        }
    }
}

/// Without credentials.
fn shown(sink: OutputStatus) -> OutputStatus {
    let clean = |text: &str| redact(text).into_owned();
    OutputStatus { name: clean(&sink.name), failed: sink.failed.as_deref().map(clean), ..sink }
}

/// What the rest of the daemon knows at the moment of a snapshot.
pub struct Now {
    /// State of the overlay.
    pub ai: Ai,
    /// Frames the source handed over.
    pub arrived: u64,
    /// Frames displaced by fresher ones.
    pub displaced: u64,
    /// Frames that the end left without being shown.
    pub discarded: u64,
    /// What became of the sinks.
    pub sinks: Vec<OutputStatus>,
    /// How far the build of the engine is, while there is one.
    pub build: Option<BuildProgress>,
    /// Why the run ended early.
    pub error: Option<String>,
}

/// The figures at one moment: `/status`, and `report.json` at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Version of the daemon.
    pub version: &'static str,
    #[serde(flatten)]
    /// Source, engine and mode.
    pub context: Context,
    /// State of the overlay.
    pub ai: Ai,
    /// Seconds since the first frame.
    pub uptime_s: f64,
    /// Frames shown per second, over the whole run.
    pub fps: f64,
    /// Frames the source handed over: `frames_out + dropped`, and one that may be on its way.
    pub frames_in: u64,
    /// Frames shown.
    pub frames_out: u64,
    /// Frames not shown.
    pub dropped: u64,
    /// Why.
    pub dropped_by: DroppedBy,
    /// Frames shown with a mask, be it empty.
    pub frames_masked: u64,
    /// Frames shown under a badge.
    pub frames_badged: u64,
    /// Black frames that say NO SIGNAL, shown while the source was silent; in no other count.
    pub frames_inserted: u64,
    /// Crops that the engine had no time for.
    pub crops_skipped: u64,
    /// Answers of the engine that were errors.
    pub engine_errors: u64,
    /// Time of the engine for a crop.
    pub engine_ms: Quantiles,
    /// From a frame's arrival to the sinks.
    pub latency_ms: Quantiles,
    /// The same without the wait for the engine.
    pub overhead_ms: Quantiles,
    /// Age of the masks shown.
    pub mask_age_ms: Quantiles,
    /// Mean Dice over frames with a nerve, where the source knows the truth.
    pub dice: Option<f64>,
    /// Frames in that mean.
    pub dice_frames: u64,
    /// What became of the sinks.
    pub sinks: Vec<OutputStatus>,
    /// How far the build of the engine is, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_build: Option<BuildProgress>,
    /// Why the run ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why frames were not shown.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DroppedBy {
    /// A fresher frame came before this one could be taken.
    pub capture: u64,
    /// The daemon was stopped.
    pub stop: u64,
}

impl Snapshot {
    /// The figures as a short table for people.
    pub fn table(&self) -> String {
        let Self { frames_in, frames_out, dropped, fps, context, .. } = self;
        let row = |name: &str, q: &Quantiles| {
            format!("{name:<14}{:>9.2}{:>9.2}{:>9.2}{:>9.2}\n", q.p50, q.p95, q.p99, q.max)
        };
        let dice = self.dice.map_or(String::new(), |dice| {
            format!("{:<14}{dice:>9.3}  mean over {} frames with a nerve\n", "Dice", self.dice_frames)
        });
        format!(
            "{:<14}{frames_in} in, {frames_out} out, {dropped} dropped, {fps} frames/s\n\
             {:<14}{}, {} {}, {} threads, {}\n\
             {:<14}{:>9}{:>9}{:>9}{:>9}\n{}{}{}{dice}",
            "frames",
            "engine",
            context.engine.runtime,
            context.engine.provider,
            context.engine.precision,
            context.engine.threads,
            context.engine.model,
            "ms",
            "p50",
            "p95",
            "p99",
            "max",
            row("engine", &self.engine_ms),
            row("latency", &self.latency_ms),
            row("overhead", &self.overhead_ms),
        )
    }

    /// Brings the Prometheus counters up to date.
    pub fn publish(&self) {
        metrics::counter!("nervelight_frames_in_total").absolute(self.frames_in);
        metrics::counter!("nervelight_frames_out_total").absolute(self.frames_out);
        metrics::counter!("nervelight_frames_dropped_total").absolute(self.dropped);
        metrics::counter!("nervelight_frames_masked_total").absolute(self.frames_masked);
        metrics::counter!("nervelight_frames_badged_total").absolute(self.frames_badged);
        metrics::counter!("nervelight_frames_inserted_total").absolute(self.frames_inserted);
        metrics::counter!("nervelight_crops_skipped_total").absolute(self.crops_skipped);
        metrics::counter!("nervelight_engine_errors_total").absolute(self.engine_errors);
        metrics::gauge!("nervelight_ai_on").set(f64::from(u8::from(self.ai == Ai::On)));
        for sink in &self.sinks {
            let name = sink.name.clone();
            metrics::counter!("nervelight_sink_frames_total", "sink" => name.clone()).absolute(sink.frames);
            metrics::counter!("nervelight_sink_dropped_total", "sink" => name.clone()).absolute(sink.dropped);
            metrics::gauge!("nervelight_sink_failed", "sink" => name)
                .set(f64::from(u8::from(sink.failed.is_some())));
        }
    }
}

/// The newest snapshot, for readers that must never be in a frame's way.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Option<Snapshot>>>);

impl Board {
    /// Replaces the snapshot.
    pub fn put(&self, snapshot: Snapshot) {
        *self.lock() = Some(snapshot);
    }

    /// The newest snapshot; none before the first frame.
    pub fn get(&self) -> Option<Snapshot> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

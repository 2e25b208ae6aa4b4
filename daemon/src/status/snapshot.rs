//! The figures at one moment, for people and for programs.

use nervelight_engines::BuildProgress;
use nervelight_engines::EngineInfo;
use serde::Serialize;

use crate::config::SyncMode;
use crate::frame::{LumaStatistics, NerveSize, OverlayState, Sector};
use crate::harvest::HarvestFigures;
use crate::redact::redact;
use crate::sink::OutputStatus;
use crate::status::Quantiles;
use crate::status::deployment::{ModelFigures, ModelsMoment};
use crate::status::follow::FollowFigures;
use crate::status::signal::SignalFigures;

/// The figures at one moment: `/status`, and `report.json` at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Version of the daemon.
    pub version: &'static str,
    /// Source, engine and mode.
    #[serde(flatten)]
    pub run: RunInfo,
    /// State of the overlay.
    pub ai: OverlayState,
    /// What the signal is doing.
    pub signal: Signal,
    /// The size of the nerve on the last frame, where it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nerve: Option<NerveSize>,
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
    /// The same of the last minute.
    pub last_minute: LastMinute,
    /// Mean Dice over frames with a nerve, where the source knows the truth.
    pub dice: Option<f64>,
    /// Frames in that mean.
    pub dice_frames: u64,
    /// What became of the sinks.
    pub sinks: Vec<SinkFigures>,
    /// How far the build of the engine is, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_build: Option<BuildProgress>,
    /// Deployments, and models that are not shown.
    #[serde(flatten)]
    pub models: ModelsMoment,
    /// How the cart stands to the registry's tag that it follows, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<FollowFigures>,
    /// What was kept for retraining, where that is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harvest: Option<HarvestFigures>,
    /// Why the run ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the signal is doing, and the last frame's luma.
#[derive(Debug, Clone, Serialize)]
pub struct Signal {
    /// The state, and the states of the run.
    #[serde(flatten)]
    pub figures: SignalFigures,
    /// From black, 0, to white, 255.
    pub luma: LumaStatistics,
}

/// Figures of the last minute, give or take ten seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LastMinute {
    /// Frames shown per second.
    pub fps: f64,
    /// Time of the engine for a crop.
    pub engine_ms: Quantiles,
    /// From a frame's arrival to the sinks.
    pub latency_ms: Quantiles,
    /// The same without the wait for the engine.
    pub overhead_ms: Quantiles,
    /// Age of the masks shown.
    pub mask_age_ms: Quantiles,
}

/// What became of a configured sink, over all its openings.
#[derive(Debug, Clone, Serialize)]
pub struct SinkFigures {
    /// Of its present or last opening; counts are those of all.
    #[serde(flatten)]
    pub output: OutputStatus,
    /// How often it failed or could not be opened; it is tried again.
    pub failures: u64,
}

/// Why frames were not shown.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DroppedBy {
    /// A fresher frame came before this one could be taken.
    pub capture: u64,
    /// The daemon was stopped, or another source came.
    pub stop: u64,
}

/// What changes seldom while the daemon runs.
#[derive(Debug, Clone, Serialize)]
pub struct RunInfo {
    /// The source as configured.
    pub source: String,
    /// Why it is waited for, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_failed: Option<String>,
    /// How often it was opened again.
    pub source_reconnects: u64,
    /// Size and rate of its frames, once the first has come.
    pub frames: String,
    /// Why the crop is not in them, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_problem: Option<String>,
    /// Where the ultrasound picture was found in them, where it is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector: Option<SectorInfo>,
    /// What computes the masks, or will once it is open.
    pub engine: EngineInfo,
    /// The model that computes them.
    pub model: ModelFigures,
    /// Counts the openings of engines, from 1; 0 before the first.
    pub engine_generation: u64,
    /// Why it could not be opened; the video goes on without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_failed: Option<String>,
    /// How masks and frames are matched.
    pub sync: SyncMode,
}

/// Where the ultrasound picture lies.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SectorInfo {
    /// It, in pixels of the frame.
    #[serde(flatten)]
    pub sector: Sector,
    /// What the model sees of it.
    pub crop: Sector,
    /// Pixels of the frame for one of the crop.
    pub scale: f32,
    /// Width and height of a pixel of the crop in millimetres, where the frame's is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f32; 2]>,
}

impl RunInfo {
    /// The ultrasound picture was found; `spacing` is that of the frame's pixels.
    pub fn place(&mut self, sector: Sector, crop: Sector, scale: f32, spacing: Option<[f32; 2]>) {
        let spacing_mm = spacing.map(|spacing| spacing.map(|mm| mm * scale));
        self.sector = Some(SectorInfo { sector, crop, scale, spacing_mm });
    }

    /// Before the first frame; `engine` is open, or will be.
    pub fn new(
        source: String,
        engine: EngineInfo,
        model: ModelFigures,
        engine_generation: u64,
        sync: SyncMode,
    ) -> Self {
        Self {
            source,
            source_failed: None,
            source_reconnects: 0,
            frames: String::new(),
            frames_problem: None,
            sector: None,
            engine,
            model,
            engine_generation,
            engine_failed: None,
            sync,
        }
    }

    /// Without credentials.
    pub fn shown(&self) -> Self {
        let clean = |text: &str| redact(text).into_owned();
        Self {
            source: clean(&self.source),
            source_failed: self.source_failed.as_deref().map(clean),
            engine_failed: self.engine_failed.as_deref().map(clean),
            ..self.clone()
        }
    }
}

impl Snapshot {
    /// The figures as a short table for people.
    pub fn table(&self) -> String {
        let Self { frames_in, frames_out, dropped, fps, run, .. } = self;
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
            run.engine.runtime,
            run.engine.provider,
            run.engine.precision,
            run.engine.threads,
            run.engine.model,
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
}

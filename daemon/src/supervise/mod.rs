//! Startup, the loop, and ordered shutdown, from top to bottom.

pub mod signals;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crossbeam_channel::{Receiver, bounded};
use gst_video::VideoInfo;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use nervelight_engines::tensorrt::{self, TensorrtError, Watch};
use nervelight_engines::{Bundle, EngineError, EngineInfo, Manifest, open_proven};
use sd_notify::NotifyState;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::watch;

use crate::cmd::check;
use crate::cmd::options::Wishes;
use crate::config::{Config, Sink, Source};
use crate::frame::{Frame, Region};
use crate::infer::{DeviceLost, Inference, OpenEngine};
use crate::path::{ModelDefaults, Way};
use crate::redact::redact;
use crate::sink::preview::Pictures;
use crate::sink::{self, Encoders, SinkContext};
use crate::source::gstreamer::{self, Capture, STALL, STALLED};
use crate::source::phantom;
use crate::source::slot::{Next, Slot};
use crate::status::{Board, Context, Now, Snapshot};
use crate::web::{self, Command, Page};

/// Time between snapshots of the figures.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);
/// A live source that is silent for longer has no signal.
const SILENCE: Duration = Duration::from_secs(1);
/// Longest wait for a frame before signals and commands are looked at again.
const POLL: Duration = Duration::from_millis(100);

/// Runs the daemon as wished until its source ends or a signal comes.
///
/// # Errors
/// What kept it from starting, what ended it early, and sinks that failed on the way.
pub fn run(wishes: &Wishes) -> Result<()> {
    gst::init().context("GStreamer cannot be initialised")?;
    let config = wishes.read()?;
    if let Some((path, why)) = config.report.as_ref().and_then(|path| Some((path, sink::unfit(path)?))) {
        bail!("report.path: {} {why}", path.display());
    }
    let stop = signals::listen()?;
    let listener = config.listen.map(web::bind).transpose()?;
    let metrics = install_metrics()?;
    let bundle = Bundle::open(&config.bundle)?;
    tracing::info!(
        model = %bundle.manifest.name, version = %bundle.manifest.version, digest = %bundle.digest,
        "bundle verified"
    );
    let model = ModelDefaults { threshold: bundle.manifest.threshold, min_area: bundle.manifest.min_area };
    let watch = Arc::new(Watch::new(stop.clone()));
    let Some((inference, engine, opened)) = start_engine(&config, bundle, &watch, &stop)? else {
        tracing::info!("stopped before the first frame");
        return Ok(());
    };

    let Some((capture, slot)) = start_source(&config, &stop)? else {
        tracing::info!("stopped before the first frame");
        return Ok(());
    };
    let board = Board::default();
    let (pictures, _) = watch::channel(None);
    let (commands, wishes) = bounded(16);
    if let Some(listener) = listener {
        let page = Page {
            board: board.clone(),
            pictures: config.sinks.iter().any(|s| matches!(s, Sink::Preview)).then(|| pictures.clone()),
            commands,
            metrics: metrics.clone(),
            begun: Instant::now(),
        };
        tracing::info!("page at http://{}", listener.local_addr()?);
        web::serve(listener, &config.proxy_hosts, page)?;
    }
    let context = Context {
        source: config.source.to_string(),
        frames: String::new(),
        engine,
        engine_failed: None,
        sync: config.sync.mode,
    };
    let opening = Opening { watch, opened };
    let mut daemon =
        Daemon { config: &config, model, slot, wishes, board, pictures, metrics, context, opening, stop };
    let outcome = daemon.follow(inference);
    // The slot first: a source that waits for room in it could not be stopped.
    drop(daemon);
    drop(capture);
    outcome
}

/// Checks what can be checked without running: settings, bundle, engine, pipelines, files and port; with `deep` what
/// the source gives.
///
/// # Errors
/// Every mistake found.
pub fn check(wishes: &Wishes, deep: bool) -> Result<()> {
    gst::init().context("GStreamer cannot be initialised")?;
    let config = wishes.read()?;
    let mut mistakes = vec![];
    let mut row = |name: &str, found: Result<String>| match found {
        Ok(text) => outln!("{name:<9}{}", redact(&text)),
        Err(error) => mistakes.push(format!("{error:#}")),
    };
    row(
        "source",
        gstreamer::check(&config.source, config.pad).and_then(|text| place_phantom(&config).map(|()| text)),
    );
    match Bundle::open(&config.bundle) {
        Err(error) => row("model", Err(error.into())),
        Ok(bundle) => {
            let Manifest { name, version, .. } = &bundle.manifest;
            row("model", Ok(format!("{name} {version} ({})", bundle.digest)));
            row("engine", check_engine(&config, bundle));
        }
    }
    row("sync", Ok(format!("{:?}", config.sync.mode)));
    for sink in &config.sinks {
        row("sink", sink::check(sink));
    }
    for (name, found) in check::outside(&config) {
        row(name, found);
    }
    if deep {
        row("frames", check::open_source(&config));
    }
    if !mistakes.is_empty() {
        bail!(mistakes.join("\n"));
    }
    outln!("{}: good", wishes.name());
    Ok(())
}

/// The phantom's frames have one size, known before the first comes.
fn place_phantom(config: &Config) -> Result<()> {
    if let Source::Phantom(_) = config.source {
        Region::place(config.x, config.y, nervelight_phantom::WIDTH, nervelight_phantom::HEIGHT)?;
    }
    Ok(())
}

fn check_engine(config: &Config, bundle: Bundle) -> Result<String> {
    if config.engine.backend.is_tensorrt() {
        // Opening might mean a build of minutes, and this runs before every start.
        let found = tensorrt::probe(&bundle, &config.engine)?;
        let EngineInfo { runtime, provider, precision, .. } = found.info;
        let built = match (found.is_built, found.rejected) {
            (true, _) => "built before".into(),
            (false, Some(why)) => {
                format!("rejected when it was built, `run` takes the next precision: {why}")
            }
            (false, None) => "not built yet: `run` or `build` will".into(),
        };
        return Ok(format!("{runtime}, {provider}, {precision}, {built}"));
    }
    let engine = opener(config, bundle, Arc::default())()?;
    let EngineInfo { runtime, provider, precision, threads, .. } = engine.info();
    Ok(format!("{runtime}, {provider}, {precision}, {threads} threads"))
}

/// A thread that tells when the engine is open.
type Opened = Receiver<Result<EngineInfo, EngineError>>;

/// Starts the engine's thread. A TensorRT engine is opened while live video passes already: it may have to be built.
/// What is missing for that is found before. None when the daemon is told to stop meanwhile, which TensorRT may not hear
/// for minutes.
fn start_engine(
    config: &Config,
    bundle: Bundle,
    watch: &Arc<Watch>,
    stop: &AtomicBool,
) -> Result<Option<(Inference, EngineInfo, Option<Opened>)>> {
    if config.engine.backend.is_tensorrt() && config.source.is_live() {
        let prospect = tensorrt::probe(&bundle, &config.engine)?;
        let (inference, opened) = Inference::start_opening(opener(config, bundle, watch.clone()))?;
        return Ok(Some((inference, prospect.info, Some(opened))));
    }
    let started = Inference::start(opener(config, bundle, watch.clone()), stop)?;
    Ok(started.map(|(inference, engine)| {
        log_ready(&engine);
        (inference, engine, None)
    }))
}

fn log_ready(engine: &EngineInfo) {
    tracing::info!(runtime = %engine.runtime, provider = %engine.provider, precision = %engine.precision,
        threads = engine.threads, "engine ready");
}

/// Opens the engine and proves it on the bundle's golden frames, which also warms it up.
fn opener(config: &Config, bundle: Bundle, watch: Arc<Watch>) -> OpenEngine {
    let settings = config.engine.clone();
    Box::new(move || {
        let (engine, agreement) = open_proven(&bundle, &settings, &watch)?;
        tracing::info!(dice = agreement.dice, "golden frames agree");
        // One byte of one frame, which sounds like a failure and is none.
        tracing::debug!(max_diff = agreement.max_diff, "largest difference of a probability x 255");
        Ok(engine)
    })
}

/// Starts the source; a GStreamer one runs until its [`Capture`] is dropped. None when the daemon is told to stop
/// meanwhile.
pub fn start_source(config: &Config, stop: &AtomicBool) -> Result<Option<(Option<Capture>, Slot)>> {
    match &config.source {
        Source::Phantom(settings) => Ok(Some((None, phantom::start(settings, config.x, config.y)?))),
        source => Ok(Capture::start(source, config.pad, stop)?.map(|(capture, slot)| (Some(capture), slot))),
    }
}

fn install_metrics() -> Result<PrometheusHandle> {
    // Finest where a frame's budget lies, 33 ms at 30 frames/s.
    const BUCKETS: [f64; 12] =
        [0.0005, 0.001, 0.002, 0.005, 0.010, 0.020, 0.033, 0.050, 0.100, 0.200, 0.500, 1.0];
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    builder.install_recorder().context("metrics cannot be installed")
}

struct Daemon<'a> {
    config: &'a Config,
    model: ModelDefaults,
    slot: Slot,
    wishes: Receiver<Command>,
    board: Board,
    pictures: Pictures,
    metrics: PrometheusHandle,
    context: Context,
    opening: Opening,
    stop: Arc<AtomicBool>,
}

/// An engine that is opened while the video passes.
struct Opening {
    watch: Arc<Watch>,
    /// None once it is open, or cannot be.
    opened: Option<Opened>,
}

impl Daemon<'_> {
    /// Hears whether the engine is open by now.
    ///
    /// # Errors
    /// When the GPU is lost to this process.
    fn hear_engine(&mut self) -> Result<(), DeviceLost> {
        let Some(heard) = self.opening.opened.as_ref().and_then(|opened| opened.try_recv().ok()) else {
            return Ok(());
        };
        self.opening.opened = None;
        match heard {
            Ok(engine) => {
                log_ready(&engine);
                self.context.engine = engine;
            }
            Err(EngineError::Tensorrt(TensorrtError::Cancelled)) => {}
            Err(error) if error.is_device_lost() => return Err(DeviceLost(error.to_string())),
            Err(error) => {
                tracing::error!(%error, "there is no engine; the video goes on without overlay");
                self.context.engine_failed = Some(error.to_string());
            }
        }
        Ok(())
    }

    /// Takes frames until there are no more, then finishes every file and writes the report.
    fn follow(&mut self, inference: Inference) -> Result<()> {
        let Some(first) = self.first_frame()? else { return Ok(()) };
        let mut way = self.open_way(&first, inference)?;
        notify(&[NotifyState::Ready]);
        let ended = self.loop_until_end(&mut way, first);
        notify(&[NotifyState::Stopping]);
        self.slot.close();
        way.finish();

        let failed = way
            .outputs
            .iter()
            .filter_map(|o| o.status().failure().map(|why| format!("sink {}: {why}", o.status().name())));
        let is_device_lost = ended.as_ref().is_err_and(|error| error.is::<DeviceLost>());
        let errors: Vec<_> = ended.err().map(|e| format!("{e:#}")).into_iter().chain(failed).collect();
        let error = (!errors.is_empty()).then(|| errors.join("\n"));
        let snapshot = self.snapshot(&way, error.clone());
        // Before anything is printed: nobody need be there to read it.
        let written = self.write_report(&snapshot);
        outln!("{}", snapshot.table());
        match (error, written) {
            (None, written) => written,
            (Some(error), Ok(())) if is_device_lost => Err(DeviceLost(error).into()),
            (Some(error), Ok(())) => bail!(error),
            (Some(error), Err(unwritten)) => bail!("{error}\n{unwritten:#}"),
        }
    }

    fn write_report(&self, snapshot: &Snapshot) -> Result<()> {
        let Some(path) = &self.config.report else { return Ok(()) };
        let json = serde_json::to_vec_pretty(snapshot)?;
        let write = || {
            // Renamed into its place: whole or not at all, and no link is followed.
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            let mut file = tempfile::Builder::new()
                .prefix(".report-")
                .permissions(fs::Permissions::from_mode(0o644))
                .tempfile_in(folder)?;
            file.write_all(&json)?;
            file.persist(path).map(drop).map_err(|e| e.error)
        };
        write().with_context(|| format!("report.path: {} cannot be written", path.display()))
    }

    fn first_frame(&mut self) -> Result<Option<Frame>> {
        let begun = Instant::now();
        let mut is_told = false;
        while !self.stop.load(Ordering::Relaxed) {
            if begun.elapsed() > SILENCE && !std::mem::replace(&mut is_told, true) {
                tracing::warn!(source = %self.config.source, "waiting for the first frame");
            }
            match self.slot.next(POLL) {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::Idle => self.wait_no_longer(begun)?,
                Next::End(Ok(())) => bail!(
                    "source {}: it ended without a single frame. Check that it holds video",
                    self.config.source
                ),
                Next::End(Err(error)) => return Err(error.into()),
            }
        }
        tracing::info!("stopped before the first frame");
        Ok(None)
    }

    /// Ends the wait for a frame that goes on since `heard`, unless the source may be silent.
    fn wait_no_longer(&self, heard: Instant) -> Result<()> {
        let source = &self.config.source;
        if heard.elapsed() > STALL && !source.may_be_silent() {
            bail!("source {source}: no frame and no end has come for {STALL:?}. {STALLED}");
        }
        Ok(())
    }

    fn open_way(&mut self, first: &Frame, inference: Inference) -> Result<Way> {
        let info = &first.info;
        self.context.frames = describe_frames(info);
        // The way first: frames that do not fit must not leave an empty recording behind.
        let mut way = Way::new(self.config, self.model, info.clone(), inference, vec![])?;
        let context = SinkContext {
            live: self.config.source.is_live(),
            pictures: self.pictures.clone(),
            stop: self.stop.clone(),
            encoders: Encoders::default(),
        };
        for sink in &self.config.sinks {
            way.outputs.push(sink::open(sink, info, &context)?);
        }
        tracing::info!(frames = %self.context.frames, source = %self.context.source, "running");
        Ok(way)
    }

    fn loop_until_end(&mut self, way: &mut Way, first: Frame) -> Result<()> {
        put_video_first();
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| timeout / 2);
        let (mut snapshot_due, mut log_due, mut watchdog_due) =
            (Instant::now(), Instant::now(), Instant::now());
        log_due += self.config.log_interval;
        let mut heard = Instant::now();
        let mut silent = false;
        let mut next = Next::Frame(first);
        loop {
            if let Next::Idle = next {
                self.wait_no_longer(heard)?;
            }
            match next {
                Next::Frame(frame) => {
                    if std::mem::take(&mut silent) {
                        tracing::info!("the source's frames are back");
                    }
                    self.pass(way, frame)?;
                    heard = Instant::now();
                }
                Next::Idle if self.config.source.is_live() && heard.elapsed() > SILENCE => {
                    if !std::mem::replace(&mut silent, true) {
                        tracing::error!("no signal: the source sends no frames. Check its cable and power");
                    }
                    way.show_no_signal(Instant::now()).map(drop)?;
                }
                Next::Idle => {}
                Next::End(how) => return how.map_err(Into::into),
            }
            if way.outputs.iter().all(|o| o.status().has_failed()) {
                bail!("every sink has failed");
            }
            self.hear_engine()?;
            if let Some(why) = way.device_lost() {
                return Err(DeviceLost(why.into()).into());
            }
            while let Ok(Command::Overlay(enabled)) = self.wishes.try_recv() {
                if std::mem::replace(&mut way.enabled, enabled) != enabled {
                    tracing::info!(enabled, "overlay switched");
                }
            }
            let now = Instant::now();
            if now >= snapshot_due {
                snapshot_due = now + SNAPSHOT_INTERVAL;
                let snapshot = self.snapshot(way, None);
                snapshot.publish();
                self.metrics.run_upkeep();
                if now >= log_due {
                    log_due = now + self.config.log_interval;
                    log(&snapshot);
                }
                self.board.put(snapshot);
            }
            if watchdog.is_some() && now >= watchdog_due {
                watchdog_due = now + watchdog.unwrap_or_default();
                notify(&[NotifyState::Watchdog]);
            }
            if self.stop.load(Ordering::Relaxed) {
                tracing::info!("stopping");
                return Ok(());
            }
            next = self.slot.next(POLL);
        }
    }

    fn pass(&self, way: &mut Way, frame: Frame) -> Result<()> {
        if !way.fits(&frame) {
            let (was, is) = (&self.context.frames, describe_frames(&frame.info));
            let remedy = match self.config.source {
                Source::File { .. } => {
                    "Give the file one size and format first, such as with ffmpeg -vf scale=W:H"
                }
                _ => "Start again; the service does so by itself",
            };
            bail!("the source's frames changed from {was} to {is}. {remedy}");
        }
        way.pass(frame).map(drop)
    }

    fn snapshot(&self, way: &Way, error: Option<String>) -> Snapshot {
        let sinks = way.outputs.iter().map(|o| o.status().snapshot()).collect();
        let (arrived, displaced) = (self.slot.arrived(), self.slot.displaced());
        // While it runs one frame may be on its way; at the end what was not shown is lost.
        let discarded = match self.slot.is_closed() {
            true => arrived.saturating_sub(displaced + way.figures.frames_out),
            false => 0,
        };
        let build = self.opening.watch.progress();
        let now = Now { ai: way.ai, arrived, displaced, discarded, sinks, build, error };
        way.figures.snapshot(&self.context, now)
    }
}

/// Gives this thread real-time priority where the system allows it (the service does): when cores are
/// short, the frame that is due goes before decoders, encoders and the engine. Done after the sinks
/// are open: their threads inherit what their starter had.
fn put_video_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy) {
        tracing::debug!(?error, "the video keeps the ordinary priority");
    }
}

/// Size, format, colorimetry and rate of frames.
pub fn describe_frames(info: &VideoInfo) -> String {
    let (fps, colorimetry) = (info.fps(), info.colorimetry());
    let (width, height, format) = (info.width(), info.height(), info.name());
    format!("{width}x{height} {format} {colorimetry} {}/{} fps", fps.numer(), fps.denom())
}

fn log(s: &Snapshot) {
    tracing::info!(
        ai = ?s.ai, frames_in = s.frames_in, frames_out = s.frames_out, dropped = s.dropped, fps = s.fps,
        engine_p50_ms = s.engine_ms.p50, engine_p99_ms = s.engine_ms.p99,
        latency_p50_ms = s.latency_ms.p50, latency_p99_ms = s.latency_ms.p99, latency_max_ms = s.latency_ms.max,
        mask_age_p99_ms = s.mask_age_ms.p99, "figures"
    );
    if let Some(build) = &s.engine_build {
        tracing::info!(engine = %build.what, phase = %build.phase, done = build.done, seconds = build.seconds, "building");
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(state);
}

//! `nervelightd check`: what `run` would stumble over, found without running.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nervelight_engines::tensorrt;
use nervelight_engines::{BuildMonitor, Bundle, EngineInfo, Manifest, open_proven};

use crate::cmd::options::RunOptions;
use crate::cmd::outside::{self, Finding};
use crate::config::{Config, Source};
use crate::frame::{Region, describe};
use crate::model;
use crate::redact::redact;
use crate::sink;
use crate::source::gstreamer::STALL;
use crate::source::slot::Next;
use crate::source::{self, OpenSource, rtsp, v4l2};
use crate::web::Entrance;

/// A source that may be without signal is not waited for as long as `run` would.
const SIGNAL: Duration = Duration::from_secs(10);

/// What to check.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    /// Open the source too, and say what frames it gives.
    #[arg(long)]
    deep: bool,
}

/// Checks what can be checked without running: settings, bundle, engine, pipelines, files and port; with `--deep` what
/// the source gives.
///
/// # Errors
/// Every mistake found.
pub fn check(arguments: &Arguments) -> Result<()> {
    let Arguments { options, deep } = arguments;
    gst::init().context("GStreamer cannot be initialised")?;
    let config = options.read()?;
    let mut mistakes = vec![];
    let mut row = |name: &str, found: Result<String>| match found {
        Ok(text) => outln!("{name:<9}{}", redact(&text)),
        Err(error) => mistakes.push(format!("{error:#}")),
    };
    let name = |key: &str| options.option(key, config.sinks.len()).unwrap_or_else(|| key.to_owned());
    row("source", check_source(&config, *deep, name));
    if config.store.is_some() {
        row("store", check_store(&config));
    }
    match model::look(&config) {
        Err(error) => row("model", Err(error)),
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
    for Finding { name: kind, key, found, .. } in outside::files(&config) {
        match found {
            Ok(Some(text)) => row(kind, Ok(text)),
            Ok(None) => {}
            Err(error) => row(kind, Err(error.context(name(&key)))),
        }
    }
    if let Some(http) = &config.http {
        // The port is given back at once.
        row("page", Entrance::open(http).and_then(|entrance| entrance.describe()));
    }
    if *deep {
        row("frames", open_source(&config));
    }
    if !mistakes.is_empty() {
        bail!(mistakes.join("\n"));
    }
    outln!("{}: good", options.name());
    Ok(())
}

/// The pipeline, where its device is there and the region fits into what is known of its frames.
fn check_source(config: &Config, deep: bool, name: impl Fn(&str) -> String) -> Result<String> {
    let mut text = source::check(&config.source, config.pad)?;
    match v4l2::look(&config.source) {
        // This runs before every start, and a start with the capture card unplugged is none in vain.
        Err(absent) if config.source.is_waited_for() && !deep => {
            text = format!("{text}\n         {absent}. `run` waits for it");
        }
        looked => looked.with_context(|| name("source.device"))?,
    }
    if let Source::Rtsp(rtsp) = &config.source {
        rtsp::check(rtsp)?;
    }
    if let Source::Phantom(_) = config.source {
        Region::place(config.x, config.y, nervelight_phantom::WIDTH, nervelight_phantom::HEIGHT)?;
    }
    Ok(text)
}

/// What is in the store. One that cannot be used keeps no video from being shown where `run` finds a model all the same.
fn check_store(config: &Config) -> Result<String> {
    model::describe(config).or_else(|error| match model::look(config) {
        Ok(bundle) => Ok(format!("out of order, `run` takes {}: {error:#}", bundle.path.display())),
        Err(_) => Err(error),
    })
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
    let (engine, _) = open_proven(&bundle, &config.engine, &BuildMonitor::default())?;
    let EngineInfo { runtime, provider, precision, threads, .. } = engine.info();
    Ok(format!("{runtime}, {provider}, {precision}, {threads} threads"))
}

/// Opens the source, and says what its first frame is.
///
/// # Errors
/// When it does not open, gives no frame in time, or frames that the model's region does not fit into.
fn open_source(config: &Config) -> Result<String> {
    let source = &config.source;
    let patience = if source.may_be_silent() { SIGNAL } else { STALL };
    // The slot is dropped first: a source that waits for room in it could not be stopped.
    let Some(OpenSource { mut slot, capture: _capture }) =
        source::open(config, &Arc::default(), &AtomicBool::new(false))?
    else {
        bail!("source {source}: it was not opened");
    };
    let begun = Instant::now();
    loop {
        match slot.next(Duration::from_millis(100)) {
            Next::Frame(frame) => {
                let (width, height) = (frame.info.width() as usize, frame.info.height() as usize);
                Region::place(config.x, config.y, width, height)?;
                let pixels = frame.spacing.map(|[x, y]| format!(", pixels of {x:.3} x {y:.3} mm"));
                return Ok(describe(&frame.info) + &pixels.unwrap_or_default());
            }
            Next::Idle if begun.elapsed() > patience => {
                bail!(
                    "source {source}: it opens, and sends no frame within {patience:?}. Check what feeds it"
                )
            }
            Next::Idle => {}
            Next::End(Ok(())) => {
                bail!("source {source}: it ended without a single frame. Check that it holds video")
            }
            Next::End(Err(error)) => return Err(error.into()),
        }
    }
}

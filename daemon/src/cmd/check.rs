//! `nervelightd check`: what `run` would stumble over, found without running.

use std::fs::OpenOptions;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nervelight_engines::{Bundle, EngineInfo, Manifest, tensorrt};

use crate::cmd::options::RunOptions;
use crate::config::{Config, Sink, Source};
use crate::frame::Region;
use crate::redact::redact;
use crate::sink;
use crate::source::gstreamer::{self, STALL};
use crate::source::slot::Next;
use crate::supervise::{describe_frames, opener, start_source};
use crate::web;

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
    for (name, found) in outside(&config) {
        row(name, found);
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

/// Whether files can be written and the port be taken; a name and what was found of each.
fn outside(config: &Config) -> Vec<(&'static str, Result<String>)> {
    let mut rows = vec![];
    for (i, sink) in config.sinks.iter().enumerate() {
        if let Sink::File { path, overwrite, .. } = sink
            && let Err(error) = try_to_write(path, *overwrite)
        {
            rows.push(("sink", Err(error.context(format!("sinks[{i}].path")))));
        }
    }
    if let Some(path) = &config.report {
        // It is renamed into its place, over what is there.
        let written = try_to_write(path, false).map(|()| path.display().to_string());
        rows.push(("report", written.context("report.path")));
    }
    if let Some(address) = config.listen {
        // Given back at once.
        rows.push(("page", web::bind(address).map(|_| format!("http://{address}"))));
    }
    rows
}

/// Whether `path` could be written. An existing file is not touched; without `replace` another is made beside it.
fn try_to_write(path: &Path, replace: bool) -> Result<()> {
    let said = || {
        format!("{} cannot be written. Check its folder, and that this user may write there", path.display())
    };
    match path.metadata() {
        Ok(what) if what.is_dir() => bail!("{} is a folder. Name a file", path.display()),
        Ok(what) if what.file_type().is_fifo() => {
            bail!("{} is a pipe, which cannot hold it. Name a file", path.display())
        }
        Ok(_) if replace => OpenOptions::new().write(true).open(path).map(drop).with_context(said),
        _ => {
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            tempfile::Builder::new().prefix(".nervelight-").tempfile_in(folder).map(drop).with_context(said)
        }
    }
}

/// Opens the source, and says what its first frame is.
///
/// # Errors
/// When it does not open, gives no frame in time, or frames that the model's region does not fit into.
fn open_source(config: &Config) -> Result<String> {
    let source = &config.source;
    let patience = if source.may_be_silent() { SIGNAL } else { STALL };
    // The slot is dropped first: a source that waits for room in it could not be stopped.
    let Some((_capture, mut slot)) = start_source(config, &AtomicBool::new(false))? else {
        bail!("source {source}: it was not opened");
    };
    let begun = Instant::now();
    loop {
        match slot.next(Duration::from_millis(100)) {
            Next::Frame(frame) => {
                let (width, height) = (frame.info.width() as usize, frame.info.height() as usize);
                Region::place(config.x, config.y, width, height)?;
                return Ok(describe_frames(&frame.info));
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

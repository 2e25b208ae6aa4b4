//! `nervelightd bench`: each backend and precision of a bundle, the engine alone and the whole pipeline.
//!
//! Every measurement is a process of its own: memory is its own then, and a backend that crashes is a row.

mod alone;
mod energy;
mod measure;
#[cfg(feature = "nvidia")]
mod nvml;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nervelight_engines::tensorrt::Product;
use nervelight_engines::{Backend, Bundle, EngineSettings, Precision, processor};

use crate::cmd::options::StoreOptions;
use crate::cmd::outside;
use crate::config::Config;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// A bundle from `nervelight-train export`.
    #[arg(long, required_unless_present = "one")]
    bundle: Option<PathBuf>,
    /// Threads, provider, library and store as this configuration says.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Frames for the engine alone.
    #[arg(long, default_value_t = 200)]
    frames: usize,
    /// Seconds of live video for the pipeline, 0 for none.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    location: StoreOptions,
    /// Measures the one engine of this configuration and prints JSON.
    #[arg(long, hide = true)]
    one: Option<PathBuf>,
}

/// Measures every backend and precision that the bundle has a model for; prints a table.
///
/// # Errors
/// When the bundle cannot be read, or nothing could be measured.
pub fn bench(arguments: &Arguments) -> Result<()> {
    if let Some(path) = &arguments.one {
        outln!("{}", serde_json::to_string(&alone::measure(&Config::read(path)?, arguments.frames)?)?);
        return Ok(());
    }
    if let Some(path) = &arguments.json {
        // Before minutes of measuring.
        outside::output(path).context("--json")?;
    }
    let mut settings = match &arguments.config {
        Some(path) => Config::read(path)?.engine,
        None => EngineSettings::default(),
    };
    arguments.location.apply(&mut settings.tensorrt);
    let bundle = Bundle::open(arguments.bundle.as_ref().context("--bundle is missing")?)?;
    let folder = tempfile::tempdir()?;
    let mut rows = vec![];
    let mut backends = vec![Backend::Onnx, Backend::Openvino, Backend::Tensorrt];
    if Product::Rtx.is_compiled() {
        backends.push(Backend::TensorrtRtx);
    }
    for backend in backends {
        for precision in Precision::ALL {
            if bundle.manifest.files.contains_key(precision.file(backend)) {
                let settings = EngineSettings { backend, precision, ..settings.clone() };
                let row =
                    measure::measure(&bundle, &settings, arguments.frames, arguments.seconds, folder.path())?;
                errln!("{}", row.line());
                rows.push(row);
            }
        }
    }
    outln!("{}, {} cores", processor::name(), std::thread::available_parallelism().map_or(0, usize::from));
    out!("{}", table::table(&rows));
    if let Some(path) = &arguments.json {
        let json = serde_json::json!({
            "bundle": bundle.digest,
            "model": bundle.model(),
            "processor": processor::name(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "rows": rows,
        });
        fs::write(path, serde_json::to_vec_pretty(&json)?)
            .with_context(|| format!("--json: {} cannot be written", path.display()))?;
    }
    if rows.iter().all(|row| row.failed.is_some()) {
        bail!("nothing could be measured");
    }
    Ok(())
}

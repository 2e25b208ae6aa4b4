//! `nervelightd bench`: each backend and precision of a bundle, the engine alone and the whole pipeline.
//!
//! Every measurement is a process of its own: memory is its own then, and a backend that crashes is a row.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nervelight_engines::tensorrt::{Product, Watch};
use nervelight_engines::{Backend, Bundle, EngineSettings, Precision, open_proven, plane, processor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cmd::energy::Meter;
use crate::cmd::options::StoreOptions;
use crate::config::Config;
use crate::status::Quantiles;

/// Frames before the measurement: caches fill, clocks rise.
const WARM_UP: usize = 10;
/// Seconds below which the energy of GPUs is not told: the driver moves its counter some ten times a second.
const LEAST_FOR_ENERGY: f64 = 1.0;
/// Frames per second of the pipeline's source.
const FPS: u64 = 30;

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

/// One backend and precision.
#[derive(Debug, Serialize)]
struct Row {
    backend: Backend,
    precision: Precision,
    engine: Option<Alone>,
    pipeline: Option<Pipeline>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

/// The engine alone, one frame after the other.
#[derive(Debug, Serialize, Deserialize)]
struct Alone {
    runtime: String,
    provider: String,
    /// The precision that ran, after the golden frames had their say.
    precision: Precision,
    threads: usize,
    /// Time to open it; a build, where one was needed, is part of it.
    open_s: f64,
    frames: usize,
    /// Time of a frame, with its way to the device and back.
    ms: Quantiles,
    /// The device's own time.
    device_ms: Option<Quantiles>,
    frames_per_s: f64,
    /// The process at its largest.
    memory_mb: f64,
    /// In use on the device, by everybody.
    device_memory_mb: Option<f64>,
    /// Of the Jetson's module, or else of the CPU packages, the idle share included.
    joules_per_frame: Option<f64>,
    /// Of all NVIDIA graphics cards, apart from the former, the idle share included; none where the engine does not
    /// run on one, or for less than a second.
    gpu_joules_per_frame: Option<f64>,
}

/// The daemon on synthetic live video.
#[derive(Debug, Serialize)]
struct Pipeline {
    frames_in: Value,
    frames_out: Value,
    frames_masked: Value,
    dropped: Value,
    fps: Value,
    engine_ms: Value,
    latency_ms: Value,
    mask_age_ms: Value,
}

/// Measures every backend and precision that the bundle has a model for; prints a table.
///
/// # Errors
/// When the bundle cannot be read, or nothing could be measured.
pub fn bench(arguments: &Arguments) -> Result<()> {
    if let Some(path) = &arguments.one {
        outln!("{}", serde_json::to_string(&alone(&Config::read(path)?, arguments.frames)?)?);
        return Ok(());
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
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
            if bundle.manifest.files.contains_key(precision.file(backend)) {
                let settings = EngineSettings { backend, precision, ..settings.clone() };
                let row = measure(arguments, &bundle, &settings, folder.path())?;
                errln!("{}", row.line());
                rows.push(row);
            }
        }
    }
    outln!("{}, {} cores", processor::name(), std::thread::available_parallelism().map_or(0, usize::from));
    out!("{}", table(&rows));
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

fn measure(arguments: &Arguments, bundle: &Bundle, settings: &EngineSettings, folder: &Path) -> Result<Row> {
    let (config, report) = (folder.join("bench.toml"), folder.join("report.json"));
    // Written by a serializer: paths may hold any character.
    let mut text = toml::toml! {
        [source]
        kind = "phantom"
        [sync]
        mode = "latest"
        [http]
        enabled = false
        [[sinks]]
        kind = "null"
    };
    let mut put = |table: &str, key: &str, value: toml::Value| {
        let inner = text.entry(table).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(inner) = inner {
            inner.insert(key.into(), value);
        }
    };
    put("source", "fps", toml::Value::Integer(FPS as i64));
    put("source", "frames", toml::Value::Integer((arguments.seconds * FPS).max(1) as i64));
    put("model", "bundle", toml::Value::try_from(fs::canonicalize(&bundle.path)?)?);
    put("report", "path", toml::Value::try_from(&report)?);
    text.insert("engine".into(), toml::Value::try_from(settings)?);
    fs::write(&config, toml::to_string(&text)?)?;

    let mut row = Row {
        backend: settings.backend,
        precision: settings.precision,
        engine: None,
        pipeline: None,
        failed: None,
    };
    let frames = arguments.frames.max(1).to_string();
    match child(&["bench", "--frames", &frames, "--one"], &config) {
        Ok(json) => row.engine = Some(serde_json::from_str(&json)?),
        Err(error) => row.failed = Some(format!("{error:#}")),
    }
    if row.failed.is_none() && arguments.seconds > 0 {
        match child(&["run", "--config"], &config) {
            Ok(_) => row.pipeline = Some(pipeline(serde_json::from_slice(&fs::read(&report)?)?)),
            Err(error) => row.failed = Some(format!("{error:#}")),
        }
    }
    Ok(row)
}

fn child(arguments: &[&str], config: &Path) -> Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg(config).env("RUST_LOG", "error").env_remove("NOTIFY_SOCKET");
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{}", said.trim().rsplit("nervelightd: ").next().filter(|s| !s.is_empty()).unwrap_or("it crashed"))
}

fn pipeline(mut report: Value) -> Pipeline {
    let mut take = |key: &str| report[key].take();
    Pipeline {
        frames_in: take("frames_in"),
        frames_out: take("frames_out"),
        frames_masked: take("frames_masked"),
        dropped: take("dropped"),
        fps: take("fps"),
        engine_ms: take("engine_ms"),
        latency_ms: take("latency_ms"),
        mask_age_ms: take("mask_age_ms"),
    }
}

fn alone(config: &Config, frames: usize) -> Result<Alone> {
    let bundle = Bundle::open(&config.bundle)?;
    let begun = Instant::now();
    let (mut engine, _) = open_proven(&bundle, &config.engine, &Watch::default())?;
    let open_s = begun.elapsed().as_secs_f64();
    let mut crops: Vec<_> = bundle.golden()?.into_iter().map(|golden| golden.crop).collect();
    if crops.is_empty() {
        crops.push(plane());
    }
    let mut map = plane();
    for crop in crops.iter().cycle().take(WARM_UP) {
        engine.infer(crop, &mut map)?;
    }
    let (mut times, mut device) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    let (meter, gpus) = (Meter::start(), config.engine.is_on_nvidia_gpu().then(Meter::start_gpus).flatten());
    let all = Instant::now();
    for crop in crops.iter().cycle().take(frames) {
        let begun = Instant::now();
        engine.infer(crop, &mut map)?;
        times.push(begun.elapsed());
        device.extend(engine.device_time());
    }
    let seconds = all.elapsed().as_secs_f64();
    let joules = meter.map(Meter::stop);
    let gpu_joules = gpus.map(Meter::stop).filter(|_| seconds >= LEAST_FOR_ENERGY);
    let info = engine.info();
    Ok(Alone {
        runtime: info.runtime.clone(),
        provider: info.provider.clone(),
        precision: info.precision,
        threads: info.threads,
        open_s,
        frames,
        ms: quantiles(&mut times),
        device_ms: (!device.is_empty()).then(|| quantiles(&mut device)),
        frames_per_s: frames as f64 / seconds,
        memory_mb: peak_memory_mb().unwrap_or(0.0),
        device_memory_mb: engine.device_memory().map(|bytes| bytes as f64 / 1e6),
        joules_per_frame: joules.map(|joules| joules / frames as f64),
        gpu_joules_per_frame: gpu_joules.map(|joules| joules / frames as f64),
    })
}

/// Nearest rank.
fn quantiles(times: &mut [Duration]) -> Quantiles {
    times.sort_unstable();
    let at = |q: f64| {
        let rank = (q * times.len() as f64).ceil().max(1.0) as usize;
        times.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
}

/// The largest this process has been, `VmHWM`.
fn peak_memory_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1024.0 / 1e6)
}

impl Row {
    fn name(&self) -> String {
        let backend = match self.backend {
            Backend::Auto | Backend::Onnx => "onnx",
            Backend::Openvino => "openvino",
            Backend::Tensorrt => "tensorrt",
            Backend::TensorrtRtx => "tensorrt-rtx",
        };
        let asked = format!("{backend} {}", self.precision);
        let Some(engine) = &self.engine else { return asked };
        let provider = match self.backend {
            Backend::Tensorrt | Backend::TensorrtRtx => String::new(),
            _ => format!(" {}", engine.provider),
        };
        match engine.precision == self.precision {
            true => asked + &provider,
            false => format!("{asked} (as {}){provider}", engine.precision),
        }
    }

    /// One line while the others are still measured.
    fn line(&self) -> String {
        match (&self.failed, &self.engine) {
            (None, Some(engine)) => format!("{}: {:.2} ms ({})", self.name(), engine.ms.p50, engine.runtime),
            (failed, _) => format!("{}: {}", self.name(), failed.as_deref().unwrap_or("not measured")),
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let columns = ["p50", "p95", "p99", "max", "frames/s", "open s", "MB", "GPU MB", "mJ/frame", "GPU mJ"];
    let head = columns.iter().fold(String::new(), |line, name| format!("{line}{name:>10}"));
    let _ = writeln!(text, "{:<30}{head}", "engine alone, ms");
    let optional = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
    for row in rows {
        let Some(e) = &row.engine else { continue };
        let _ = writeln!(
            text,
            "{:<30}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.1}{:>10.2}{:>10.0}{:>10}{:>10}{:>10}",
            row.name(),
            e.ms.p50,
            e.ms.p95,
            e.ms.p99,
            e.ms.max,
            e.frames_per_s,
            e.open_s,
            e.memory_mb,
            optional(e.device_memory_mb),
            optional(e.joules_per_frame.map(|j| j * 1000.0)),
            optional(e.gpu_joules_per_frame.map(|j| j * 1000.0)),
        );
    }
    if rows.iter().any(|row| row.pipeline.is_some()) {
        let columns =
            ["in", "out", "masked", "lat p50", "lat p99", "lat max", "eng p50", "eng p99", "age p99"];
        let head = columns.iter().fold(String::new(), |line, name| format!("{line}{name:>10}"));
        let _ = writeln!(text, "{:<30}{head}", format!("pipeline at {FPS}/s, ms"));
        for row in rows {
            let Some(p) = &row.pipeline else { continue };
            let ms = |quantiles: &Value, q: &str| quantiles[q].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                text,
                "{:<30}{:>10}{:>10}{:>10}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
                row.name(),
                p.frames_in.to_string(),
                p.frames_out.to_string(),
                p.frames_masked.to_string(),
                ms(&p.latency_ms, "p50"),
                ms(&p.latency_ms, "p99"),
                ms(&p.latency_ms, "max"),
                ms(&p.engine_ms, "p50"),
                ms(&p.engine_ms, "p99"),
                ms(&p.mask_age_ms, "p99"),
            );
        }
    }
    for row in rows {
        if let Some(why) = &row.failed {
            let _ = writeln!(text, "not measured: {}: {why}", row.name());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let q = quantiles(&mut times);
        assert_eq!((q.p50, q.p95, q.p99, q.max), (100.0, 190.0, 198.0, 200.0));
        let one = quantiles(&mut [Duration::from_millis(7)]);
        assert_eq!((one.p50, one.max), (7.0, 7.0));
    }
}

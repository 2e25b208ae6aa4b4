//! One measurement: the engine alone and the pipeline, each in a process of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use nervelight_engines::{Backend, Bundle, EngineSettings, Precision};
use serde::Serialize;
use serde_json::Value;

use crate::cmd::bench::alone::Alone;

/// Frames per second of the pipeline's source.
pub const FPS: u64 = 30;

/// One backend and precision.
#[derive(Debug, Serialize)]
pub struct Row {
    pub backend: Backend,
    pub precision: Precision,
    pub engine: Option<Alone>,
    pub pipeline: Option<Pipeline>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// The daemon on synthetic live video.
#[derive(Debug, Serialize)]
pub struct Pipeline {
    pub frames_in: Value,
    pub frames_out: Value,
    pub frames_masked: Value,
    pub dropped: Value,
    pub fps: Value,
    pub engine_ms: Value,
    pub latency_ms: Value,
    pub mask_age_ms: Value,
}

/// Measures one engine over `frames` frames, and the pipeline over `seconds` of live video, none if 0. `folder` is for
/// the files that this takes.
///
/// # Errors
/// When these files cannot be written or read. An engine that fails is a row that says why.
pub fn measure(
    bundle: &Bundle,
    settings: &EngineSettings,
    frames: usize,
    seconds: u64,
    folder: &Path,
) -> Result<Row> {
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
    put("source", "frames", toml::Value::Integer((seconds * FPS).max(1) as i64));
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
    let frames = frames.max(1).to_string();
    match child(&["bench", "--frames", &frames, "--one"], &config) {
        Ok(json) => row.engine = Some(serde_json::from_str(&json)?),
        Err(error) => row.failed = Some(format!("{error:#}")),
    }
    if row.failed.is_none() && seconds > 0 {
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

//! Configuration: what the user wrote ([`Raw`]) and what the daemon uses ([`Config`]).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nervelight_engines::EngineSettings;
use nervelight_engines::openvino::OpenvinoSettings;
use nervelight_engines::settings::{self, Problem, Problems};
use nervelight_engines::tensorrt::TensorrtSettings;
use serde::{Deserialize, Serialize};

use crate::redact::{self, redact};
use crate::sink;

/// A checked configuration with every path absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where frames come from.
    pub source: Source,
    /// Directory or tar of the model bundle.
    pub bundle: PathBuf,
    /// Precision, provider, threads.
    pub engine: EngineSettings,
    /// Left edge of the model's crop; centred when absent.
    pub x: Option<usize>,
    /// Top edge of the model's crop; centred when absent.
    pub y: Option<usize>,
    /// Adds a black border to frames that are smaller than the crop.
    pub pad: bool,
    /// How masks and frames are matched.
    pub sync: Sync,
    /// How the nerve is drawn.
    pub overlay: Overlay,
    /// Where annotated frames go.
    pub sinks: Vec<Sink>,
    /// Address of page, status and metrics; none to serve nothing.
    pub listen: Option<SocketAddr>,
    /// Names by which browsers reach the page through a proxy.
    pub proxy_hosts: Vec<String>,
    /// Where figures are written at the end.
    pub report: Option<PathBuf>,
    /// Time between lines of figures in the log.
    pub log_interval: Duration,
}

/// Where frames come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Synthetic ultrasound.
    Phantom(PhantomSettings),
    /// A file or URI that GStreamer decodes.
    File {
        /// The URI to open.
        uri: String,
        /// At the clip's own rate instead of as fast as possible.
        paced: bool,
    },
    /// A Video4Linux device.
    V4l2 {
        /// Such as `/dev/video0`.
        device: PathBuf,
        /// Caps to ask the device for.
        caps: Option<String>,
    },
    /// A fragment in `gst-launch-1.0` notation that ends in raw video.
    Pipeline {
        /// The fragment.
        pipeline: String,
        /// Whether its frames come at their own pace and are dropped when they cannot be taken.
        live: bool,
    },
}

/// The phantom's settings.
#[derive(Debug, Clone)]
pub struct PhantomSettings {
    /// Which patient.
    pub seed: u64,
    /// Frames to render, 0 without end.
    pub frames: u64,
    /// Frames per second on the time line.
    pub fps: u32,
    /// At that rate instead of as fast as possible.
    pub paced: bool,
}

impl Source {
    /// Whether frames come at their own pace, so that waiting means losing.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Phantom(phantom) => phantom.paced,
            Self::File { paced, .. } => *paced,
            Self::V4l2 { .. } => true,
            Self::Pipeline { live, .. } => *live,
        }
    }

    /// Whether it may send nothing for any time: a device without signal, and what stands for one.
    pub fn may_be_silent(&self) -> bool {
        matches!(self, Self::V4l2 { .. } | Self::Pipeline { live: true, .. })
    }

    /// Whether the sink has to wait for the clock to give frames their pace.
    pub fn is_paced_by_clock(&self) -> bool {
        matches!(self, Self::File { paced: true, .. })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phantom(phantom) => write!(f, "phantom {}", phantom.seed),
            // As the user knows it: a path without the encoding that a URI needs.
            Self::File { uri, .. } => match gst::glib::filename_from_uri(uri) {
                Ok((path, _)) => write!(f, "{}", path.display()),
                Err(_) => f.write_str(&redact(uri)),
            },
            Self::V4l2 { device, .. } => write!(f, "{}", device.display()),
            Self::Pipeline { pipeline, .. } => write!(f, "`{}`", redact(pipeline)),
        }
    }
}

/// How masks and frames are matched.
#[derive(Debug, Clone)]
pub struct Sync {
    /// The mode.
    pub mode: SyncMode,
    /// `latest`: a mask older than this is not shown.
    pub max_mask_age: Duration,
    /// An engine that takes longer for a frame counts as hung.
    pub engine_timeout: Duration,
}

/// See DESIGN: fail-safe overlay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// Each shown frame carries its own mask; frames that the engine has no time for are dropped.
    Exact,
    /// Every frame is shown at once with the newest mask.
    #[default]
    Latest,
}

/// How the nerve is drawn.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Whether it is, at the start.
    pub enabled: bool,
    /// Weight of the colour in the tint, 0..1.
    pub opacity: f32,
    /// R'G'B'.
    pub colour: [u8; 3],
    /// One-pixel outline.
    pub outline: bool,
    /// Least probability; the bundle's when absent.
    pub threshold: Option<f32>,
    /// Least area in pixels; the bundle's when absent.
    pub min_area: Option<u32>,
}

/// Where annotated frames go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// H.264 in MP4 or Matroska.
    File {
        /// `.mp4` or `.mkv`.
        path: PathBuf,
        /// Encoder as a GStreamer fragment; the best one installed when absent.
        encoder: Option<String>,
        /// Replace an existing file instead of numbering this one.
        overwrite: bool,
    },
    /// A screen.
    Display {
        /// A GStreamer video sink.
        element: String,
    },
    /// The live picture on the page.
    Preview,
    /// Nowhere; frames are counted.
    Null,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "file {}", path.display()),
            Self::Display { element } => write!(f, "display {}", redact(element)),
            Self::Preview => f.write_str("preview"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// More is a mistake of a program that wrote the file.
const MOST_SINKS: usize = 64;

/// The file as written. Every key has a default, so that one mistake hides no other.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    source: RawSource,
    model: RawModel,
    engine: EngineSettings,
    region: RawRegion,
    sync: RawSync,
    overlay: RawOverlay,
    sinks: Vec<RawSink>,
    http: RawHttp,
    report: RawReport,
    log: RawLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSource {
    kind: Option<SourceKind>,
    seed: Option<u64>,
    frames: Option<u64>,
    fps: Option<u32>,
    path: Option<String>,
    device: Option<PathBuf>,
    caps: Option<String>,
    pipeline: Option<String>,
    live: Option<bool>,
    paced: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceKind {
    Phantom,
    File,
    V4l2,
    Pipeline,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawModel {
    bundle: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRegion {
    x: Option<usize>,
    y: Option<usize>,
    pad: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSync {
    mode: Option<SyncMode>,
    max_mask_age_ms: u64,
    engine_timeout_ms: u64,
}

impl Default for RawSync {
    fn default() -> Self {
        Self { mode: None, max_mask_age_ms: 200, engine_timeout_ms: 500 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawOverlay {
    enabled: bool,
    opacity: f32,
    color: String,
    outline: bool,
    threshold: Option<f32>,
    min_area: Option<u32>,
}

impl Default for RawOverlay {
    fn default() -> Self {
        Self {
            enabled: true,
            opacity: 0.35,
            color: "#ffd000".into(),
            outline: true,
            threshold: None,
            min_area: None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSink {
    kind: Option<SinkKind>,
    path: Option<PathBuf>,
    encoder: Option<String>,
    overwrite: Option<bool>,
    element: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SinkKind {
    File,
    Display,
    Preview,
    Null,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHttp {
    enabled: bool,
    listen: String,
    proxy_hosts: Vec<String>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self { enabled: true, listen: "127.0.0.1:8321".into(), proxy_hosts: vec![] }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawReport {
    path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    interval_s: u64,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { interval_s: 10 }
    }
}

impl Config {
    /// Reads and checks the TOML file at `path`; relative paths in it are relative to it.
    ///
    /// # Errors
    /// Every mistake in the file, each with its line, key and remedy.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        Self::read_text(path, &settings::text(path)?)
    }

    /// [`Self::read`] of a text that stands for the file at `path`.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read_text(path: &Path, text: &str) -> Result<Self, Problems> {
        let base = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
        // Before anything of it can be said, mistakes included.
        redact::learn(text);
        let mut config = None;
        settings::read_text::<Raw>(path, text, |raw| match resolve(raw, base) {
            Ok(resolved) => {
                config = Some(resolved);
                vec![]
            }
            Err(problems) => problems,
        })?;
        // `resolve` has either made a configuration or named problems.
        config.ok_or_else(|| Problems { path: path.into(), list: vec![], more: 0 })
    }
}

fn resolve(raw: &Raw, base: &Path) -> Result<Config, Vec<Problem>> {
    let mut problems = vec![];
    let source = resolve_source(&raw.source, base, &mut problems);
    let mut check = |good: bool, key: &str, message: &str| {
        if !good {
            problems.push(Problem::at(key, message));
        }
    };
    let even = |n: Option<usize>| n.is_none_or(|n| n % 2 == 0);
    let must_be_even = "must be even: chroma has half the resolution. Use the next even number";
    check(even(raw.region.x), "region.x", must_be_even);
    check(even(raw.region.y), "region.y", must_be_even);
    let unit = 0.0..=1.0;
    check(unit.contains(&raw.overlay.opacity), "overlay.opacity", "must be from 0.0 to 1.0");
    let threshold = raw.overlay.threshold;
    check(threshold.is_none_or(|t| t > 0.0 && t <= 1.0), "overlay.threshold", "must be over 0.0, up to 1.0");
    let colour = parse_colour(&raw.overlay.color);
    check(colour.is_some(), "overlay.color", "must be a colour like \"#ffd000\"");
    check(raw.engine.threads <= 256, "engine.threads", "must be from 1 to 256, or 0 for one per core");
    let level = raw.engine.tensorrt.optimization_level;
    check(level <= 5, "engine.tensorrt.optimization_level", "must be from 0 (fast to build) to 5");
    let ms = 1..=60_000;
    check(ms.contains(&raw.sync.max_mask_age_ms), "sync.max_mask_age_ms", "must be from 1 to 60000");
    check(ms.contains(&raw.sync.engine_timeout_ms), "sync.engine_timeout_ms", "must be from 1 to 60000");
    check((1..=86_400).contains(&raw.log.interval_s), "log.interval_s", "must be from 1 to 86400");
    let bundle = raw.model.bundle.as_ref().map(|b| base.join(b));
    check(bundle.is_some(), "model.bundle", "is missing: set it to the model's bundle, directory or tar");
    check(bundle.as_ref().is_none_or(|b| b.exists()), "model.bundle", "does not exist. Check the path");
    let listen = raw.http.enabled.then(|| raw.http.listen.parse::<SocketAddr>().ok()).flatten();
    check(
        listen.is_some() || !raw.http.enabled,
        "http.listen",
        "must be an address and a port like \"127.0.0.1:8321\"",
    );
    let is_safe = |address: SocketAddr| address.ip().is_loopback() || !raw.http.proxy_hosts.is_empty();
    check(
        listen.is_none_or(is_safe),
        "http.listen",
        "is not on loopback, and the page has no log-in: everybody on the network could watch patients and switch \
         the overlay. Use 127.0.0.1; if a proxy with a log-in stands before it, name in http.proxy_hosts how browsers \
         reach that",
    );
    check(
        raw.http.proxy_hosts.iter().all(|host| is_host(host)),
        "http.proxy_hosts",
        "must be names as browsers send them, such as \"cart7.example.org\" or \"cart7.example.org:8443\"",
    );
    check(
        !raw.sinks.is_empty(),
        "sinks",
        "are missing: add at least one [[sinks]] table, such as kind = \"preview\"",
    );
    check(raw.sinks.len() <= MOST_SINKS, "sinks", "are more than 64. Remove some");
    let report = raw.report.path.as_ref().map(|p| base.join(p));
    check(report.as_ref().is_none_or(|p| has_folder(p)), "report.path", "is in a folder that does not exist");
    // It replaces what is there: never the configuration, a video or a part of the bundle.
    let is_json = |p: &PathBuf| p.extension().is_some_and(|extension| extension == "json");
    check(report.as_ref().is_none_or(is_json), "report.path", "must end in .json");
    let in_bundle = |p: &PathBuf| bundle.as_ref().is_some_and(|bundle| p.starts_with(bundle));
    check(!report.as_ref().is_some_and(in_bundle), "report.path", "is in the bundle. Choose another folder");
    let sinks = match raw.sinks.len() <= MOST_SINKS {
        true => resolve_sinks(raw, base, &mut problems),
        false => vec![],
    };
    refuse_shared_files(source.as_ref(), report.as_deref(), &sinks, &mut problems);
    // A mask's age is time on the clock, which a source that is not live does not keep.
    let is_live = source.as_ref().is_none_or(Source::is_live);
    let mode = raw.sync.mode.unwrap_or(if is_live { SyncMode::Latest } else { SyncMode::Exact });
    match (source, bundle, colour) {
        (Some(source), Some(bundle), Some(colour)) if problems.is_empty() => Ok(Config {
            source,
            bundle,
            engine: EngineSettings {
                library: raw.engine.library.as_ref().map(|p| base.join(p)),
                openvino: OpenvinoSettings {
                    library: raw.engine.openvino.library.as_ref().map(|p| base.join(p)),
                },
                tensorrt: TensorrtSettings {
                    library: raw.engine.tensorrt.library.as_ref().map(|p| base.join(p)),
                    store: raw.engine.tensorrt.store.as_ref().map(|p| base.join(p)),
                    ..raw.engine.tensorrt.clone()
                },
                ..raw.engine.clone()
            },
            x: raw.region.x,
            y: raw.region.y,
            pad: raw.region.pad,
            sync: Sync {
                mode,
                max_mask_age: Duration::from_millis(raw.sync.max_mask_age_ms),
                engine_timeout: Duration::from_millis(raw.sync.engine_timeout_ms),
            },
            overlay: Overlay {
                enabled: raw.overlay.enabled,
                opacity: raw.overlay.opacity,
                colour,
                outline: raw.overlay.outline,
                threshold,
                min_area: raw.overlay.min_area,
            },
            sinks,
            listen,
            proxy_hosts: raw.http.proxy_hosts.clone(),
            report,
            log_interval: Duration::from_secs(raw.log.interval_s),
        }),
        _ => Err(problems),
    }
}

fn resolve_source(raw: &RawSource, base: &Path, problems: &mut Vec<Problem>) -> Option<Source> {
    let before = problems.len();
    let Some(kind) = raw.kind else {
        let message = "is missing: use \"phantom\", \"file\", \"v4l2\" or \"pipeline\"";
        problems.push(Problem::at("source.kind", message));
        return None;
    };
    use SourceKind::{File, Phantom, Pipeline, V4l2};
    let uses: [(&str, bool, &[SourceKind]); 9] = [
        ("seed", raw.seed.is_some(), &[Phantom]),
        ("frames", raw.frames.is_some(), &[Phantom]),
        ("fps", raw.fps.is_some(), &[Phantom]),
        ("path", raw.path.is_some(), &[File]),
        ("device", raw.device.is_some(), &[V4l2]),
        ("caps", raw.caps.is_some(), &[V4l2]),
        ("pipeline", raw.pipeline.is_some(), &[Pipeline]),
        ("live", raw.live.is_some(), &[Pipeline]),
        ("paced", raw.paced.is_some(), &[Phantom, File]),
    ];
    for (key, is_set, kinds) in uses {
        if is_set && !kinds.contains(&kind) {
            let message = format!("has no meaning with source.kind = \"{}\". Remove it", name(kind));
            problems.push(Problem::at(format!("source.{key}"), message));
        }
    }
    let mut missing = |key: &str, what: &str| {
        problems.push(Problem::at(format!("source.{key}"), format!("is missing: set it to {what}")));
    };
    let source = match kind {
        Phantom => Some(Source::Phantom(PhantomSettings {
            seed: raw.seed.unwrap_or(1),
            frames: raw.frames.unwrap_or(0),
            fps: raw.fps.unwrap_or(30),
            paced: raw.paced.unwrap_or(true),
        })),
        File => match raw.path.as_deref().map(|path| uri(path, base)) {
            Some(Ok(uri)) => Some(Source::File { uri, paced: raw.paced.unwrap_or(false) }),
            Some(Err(message)) => {
                problems.push(Problem::at("source.path", message));
                None
            }
            None => {
                missing("path", "a video file or URI");
                None
            }
        },
        V4l2 => match &raw.device {
            Some(device) if device.exists() => {
                Some(Source::V4l2 { device: device.clone(), caps: raw.caps.clone() })
            }
            Some(device) => {
                let message = format!(
                    "{} does not exist. Plug the capture card in; `v4l2-ctl --list-devices` shows its name",
                    device.display()
                );
                problems.push(Problem::at("source.device", message));
                None
            }
            None => {
                missing("device", "a capture device, such as \"/dev/video0\"");
                None
            }
        },
        Pipeline => match &raw.pipeline {
            Some(pipeline) => {
                Some(Source::Pipeline { pipeline: pipeline.clone(), live: raw.live.unwrap_or(true) })
            }
            None => {
                missing("pipeline", "a GStreamer fragment, such as \"videotestsrc\"");
                None
            }
        },
    };
    if raw.fps.is_some_and(|fps| !(1..=240).contains(&fps)) {
        problems.push(Problem::at("source.fps", "must be from 1 to 240"));
    }
    source.filter(|_| problems.len() == before)
}

/// The URI of a file, or the URI itself.
///
/// # Errors
/// When it is a path and nothing is there.
fn uri(path_or_uri: &str, base: &Path) -> Result<String, String> {
    if path_or_uri.contains("://") {
        return Ok(path_or_uri.into());
    }
    let path = base.join(path_or_uri);
    let said = |e| format!("{}: {e}. Check the path", path.display());
    path.metadata().map_err(said)?;
    let path = std::path::absolute(&path).map_err(said)?;
    let uri = gst::glib::filename_to_uri(path, None).map_err(|e| e.to_string())?;
    Ok(uri.into())
}

fn name(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Phantom => "phantom",
        SourceKind::File => "file",
        SourceKind::V4l2 => "v4l2",
        SourceKind::Pipeline => "pipeline",
    }
}

fn resolve_sinks(raw: &Raw, base: &Path, problems: &mut Vec<Problem>) -> Vec<Sink> {
    let mut sinks = vec![];
    for (i, sink) in raw.sinks.iter().enumerate() {
        let mut problem =
            |key: &str, message: &str| problems.push(Problem::at(format!("sinks[{i}].{key}"), message));
        let Some(kind) = sink.kind else {
            problem("kind", "is missing: use \"file\", \"display\", \"preview\" or \"null\"");
            continue;
        };
        let is_file = kind == SinkKind::File;
        let uses = [
            ("path", sink.path.is_some(), is_file),
            ("encoder", sink.encoder.is_some(), is_file),
            ("overwrite", sink.overwrite.is_some(), is_file),
            ("element", sink.element.is_some(), kind == SinkKind::Display),
        ];
        for (key, is_set, is_used) in uses {
            if is_set && !is_used {
                problem(key, "has no meaning with this kind of sink. Remove it");
            }
        }
        sinks.push(match kind {
            SinkKind::Null => Sink::Null,
            SinkKind::Display => {
                Sink::Display { element: sink.element.clone().unwrap_or_else(|| "auto".into()) }
            }
            SinkKind::Preview => {
                if !raw.http.enabled {
                    problem("kind", "\"preview\" needs the page: set http.enabled = true");
                }
                Sink::Preview
            }
            SinkKind::File => {
                let Some(path) = sink.path.as_ref().map(|p| base.join(p)) else {
                    problem("path", "is missing: set it to the recording's file, such as \"nerve.mp4\"");
                    continue;
                };
                let known = path.extension().is_some_and(|e| e == "mp4" || e == "mkv");
                if !known {
                    problem("path", "must end in .mp4 or .mkv");
                }
                if !has_folder(&path) {
                    problem("path", "is in a folder that does not exist. Make it, or move the file");
                }
                let overwrite = sink.overwrite.unwrap_or(false);
                if overwrite && let Some(why) = sink::unfit(&path) {
                    problem("path", why);
                }
                Sink::File { path, encoder: sink.encoder.clone(), overwrite }
            }
        });
    }
    sinks
}

/// A file that is read and written, or written twice, would be lost.
fn refuse_shared_files(
    source: Option<&Source>,
    report: Option<&Path>,
    sinks: &[Sink],
    problems: &mut Vec<Problem>,
) {
    let whole = |path: &Path| {
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        path.canonicalize().ok().or(Some(folder?.join(path.file_name()?)))
    };
    let mut taken = vec![];
    if let Some(Source::File { uri, .. }) = source
        && let Ok((path, _)) = gst::glib::filename_from_uri(uri)
    {
        taken.extend(whole(&path));
    }
    taken.extend(report.and_then(whole));
    for (i, sink) in sinks.iter().enumerate() {
        if let Sink::File { path, overwrite, .. } = sink
            && let Some(path) = whole(path)
        {
            // Without `overwrite` a file that exists is left alone; a device is no file to lose.
            if taken.contains(&path) && (*overwrite || !path.exists()) && !path.starts_with("/dev") {
                let message = "is also the source, the report or another sink. Choose another file";
                problems.push(Problem::at(format!("sinks[{i}].path"), message));
            }
            taken.push(path);
        }
    }
}

/// Whether a browser could send it as `Host`.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.starts_with('[') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    !name.is_empty() && name.chars().all(of_name) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn has_folder(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder == Path::new("") || folder.is_dir())
}

fn parse_colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii())?;
    let byte = |i: usize| u8::from_str_radix(&digits[i..i + 2], 16).ok();
    Some([byte(0)?, byte(2)?, byte(4)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name)
    }

    #[test]
    fn the_commented_configuration_names_every_key_and_only_these() {
        let text = std::fs::read_to_string(configuration("cart.toml")).unwrap();
        // Commented-out keys switched on: all must be known, and none contradict its neighbours.
        let is_setting = |line: &str| {
            line.split_once(" = ")
                .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let switched_on: Vec<&str> = text
            .lines()
            .filter_map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_setting(rest) || rest == "[[sinks]]" => Some(rest),
                Some(_) => None,
                None => Some(line),
            })
            .collect();
        let raw: Raw = toml::from_str(&switched_on.join("\n")).unwrap();
        let source = &raw.source;
        assert!(source.caps.is_some() && source.path.is_some() && source.paced.is_some());
        assert!(source.seed.is_some() && source.frames.is_some() && source.fps.is_some());
        assert!(source.pipeline.is_some() && source.live.is_some());
        let tensorrt = &raw.engine.tensorrt;
        assert!(tensorrt.library.is_some() && tensorrt.store.is_some());
        let default = TensorrtSettings::default();
        assert_eq!(
            (tensorrt.workspace_mib, tensorrt.optimization_level, tensorrt.device),
            (default.workspace_mib, default.optimization_level, default.device)
        );
        assert!(raw.engine.library.is_some() && raw.region.x.is_some() && raw.region.y.is_some());
        assert!(raw.overlay.threshold.is_some() && raw.overlay.min_area.is_some());
        assert!(raw.report.path.is_some() && !raw.region.pad);
        assert_eq!(raw.http.proxy_hosts, ["cart7.example.org"]);
        assert_eq!(raw.sinks.len(), 4, "one of each kind");

        // What the comments call the default is the default.
        let default = Raw::default();
        assert_eq!(raw.sync.max_mask_age_ms, default.sync.max_mask_age_ms);
        assert_eq!(raw.sync.engine_timeout_ms, default.sync.engine_timeout_ms);
        assert_eq!(
            (raw.overlay.opacity, raw.overlay.outline),
            (default.overlay.opacity, default.overlay.outline)
        );
        assert_eq!(
            (raw.overlay.color, raw.overlay.enabled),
            (default.overlay.color, default.overlay.enabled)
        );
        assert_eq!((raw.http.listen, raw.log.interval_s), (default.http.listen, default.log.interval_s));
    }

    #[test]
    fn the_shipped_configurations_are_good() {
        // Their outputs' folder is made by the Makefile.
        let folder = configuration("../target/demo");
        std::fs::create_dir_all(folder).unwrap();
        for name in ["demo.toml", "live.toml"] {
            Config::read(&configuration(name)).unwrap();
        }
    }

    #[test]
    fn names_of_hosts_are_known() {
        for good in
            ["cart7.example.org", "cart7.example.org:8443", "10.0.0.2:80", "[fe80::1]:80", "[fe80::1]"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "*", "https://cart7", "cart7/", "cart7:x", ":80", "a b"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn a_path_is_shown_as_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Scan ä 100%.mp4");
        std::fs::write(&path, "").unwrap();
        let uri = uri("Scan ä 100%.mp4", folder.path()).unwrap();
        assert!(uri.contains("%20"), "{uri}");
        assert_eq!(Source::File { uri, paced: false }.to_string(), path.display().to_string());
    }

    #[test]
    fn colours_are_parsed() {
        assert_eq!(parse_colour("#ffd000"), Some([255, 208, 0]));
        for bad in ["ffd000", "#ffd00", "#ffd0000", "#ggd000", "yellow", "#ééé"] {
            assert_eq!(parse_colour(bad), None, "{bad}");
        }
    }
}

//! The configuration: a file a section, each as written (`Raw...`), as used and checked.
//!
//! It may use the engines' settings and what hides secrets. It looks at names in the file system and opens nothing, so
//! that a device that is plugged in later is no mistake; what opens files and devices asks about them.

mod deploy;
mod engine;
mod follow;
mod harvest;
mod http;
mod log;
mod mistakes;
mod model;
mod overlay;
mod region;
mod report;
mod sinks;
mod source;
mod sync;
mod tls;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nervelight_engines::EngineSettings;
use nervelight_engines::bundle::PublicKey;
use nervelight_engines::probation::Bounds;
use nervelight_engines::settings::{self, Problem, Problems};
use serde::Deserialize;

use crate::redact;
pub use deploy::Probation;
pub use follow::Follow;
pub use harvest::{FlagKey, Harvest};
pub use http::Http;
use mistakes::Mistakes;
pub use overlay::Overlay;
pub use region::Finding;
pub use sinks::webrtc::Webrtc;
pub use sinks::{Access, FileSettings, IgtlContent, IgtlSink, RtspServer, SegmentLimits, Sink};
pub use source::{IgtlSource, PhantomSettings, Rtsp, Source, Transport};
pub use sync::{Sync, SyncMode};
pub use tls::Tls;

/// A checked configuration with every path absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where frames come from.
    pub source: Source,
    /// Directory or tar of a model bundle: the one to run, or the first of a new store.
    pub bundle: Option<PathBuf>,
    /// Folder of the store of models; none to run `bundle` and nothing else.
    pub store: Option<PathBuf>,
    /// Whose signatures of bundles count.
    pub keys: Vec<PublicKey>,
    /// Whether the store takes only bundles with a signature by one of them.
    pub require_signature: bool,
    /// The registry's tag that is followed.
    pub follow: Option<Follow>,
    /// What a new model must keep to.
    pub probation: Probation,
    /// Precision, provider, threads.
    pub engine: EngineSettings,
    /// Left edge of the model's crop; centred when absent.
    pub x: Option<usize>,
    /// Top edge of the model's crop; centred when absent.
    pub y: Option<usize>,
    /// Where that is looked for, and how it is scaled.
    pub region: Finding,
    /// Adds a black border to frames that are smaller than the crop.
    pub pad: bool,
    /// Row of the frames where the skin lies, from which depths are measured.
    pub skin_y: usize,
    /// How masks and frames are matched.
    pub sync: Sync,
    /// How the nerve is drawn.
    pub overlay: Overlay,
    /// Where annotated frames go.
    pub sinks: Vec<Sink>,
    /// The page and the API; none to serve nothing.
    pub http: Option<Http>,
    /// What is kept for retraining; none for nothing.
    pub harvest: Option<Harvest>,
    /// Where figures are written at the end.
    pub report: Option<PathBuf>,
    /// Time between lines of figures in the log.
    pub log_interval: Duration,
}

/// The file as written. Every key has a default, so that one mistake hides no other.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    source: source::RawSource,
    model: model::RawModel,
    deploy: Bounds,
    engine: EngineSettings,
    #[serde(deserialize_with = "region::word_or_table")]
    region: region::RawRegion,
    sync: sync::RawSync,
    overlay: overlay::RawOverlay,
    sinks: Vec<sinks::RawSink>,
    http: http::RawHttp,
    harvest: harvest::RawHarvest,
    report: report::RawReport,
    log: log::RawLog,
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
        settings::read_text::<Raw>(path, text, |raw| match raw.resolve(base) {
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

impl Raw {
    /// The configuration as used, or every mistake in it.
    fn resolve(&self, base: &Path) -> Result<Config, Vec<Problem>> {
        let mut mistakes = Mistakes::default();
        let source = self.source.resolve(base, &mut mistakes);
        let probation = Probation::resolve(&self.deploy, &mut mistakes);
        let engine = engine::resolve(&self.engine, base, &mut mistakes);
        self.region.check(&mut mistakes);
        let sync = self.sync.resolve(source.as_ref().is_none_or(Source::is_live), &mut mistakes);
        let overlay = self.overlay.resolve(&mut mistakes);
        let sinks = sinks::resolve(&self.sinks, &self.http, base, &mut mistakes);
        let mut http = self.http.resolve(base, &mut mistakes);
        let harvest = self.harvest.resolve(base, &mut mistakes);
        let exposed = http.as_ref().is_some_and(|http| !http.listen.ip().is_loopback());
        let model = self.model.resolve(exposed, base, &mut mistakes);
        let bundle = model.as_ref().and_then(|model| model.bundle.as_deref());
        let report = self.report.resolve(bundle, base, &mut mistakes);
        if let Some(http) = &mut http
            && let Some(store) = model.as_ref().and_then(|model| model.store.as_ref())
        {
            http.audit.get_or_insert_with(|| store.join(http::AUDIT));
        }
        let log_interval = self.log.resolve(&mut mistakes);
        refuse_shared_files(source.as_ref(), report.as_deref(), &sinks, &mut mistakes);
        match (source, model, overlay) {
            (Some(source), Some(model), Some(overlay)) if mistakes.len() == 0 => Ok(Config {
                source,
                bundle: model.bundle,
                store: model.store,
                keys: model.keys,
                require_signature: model.require_signature,
                follow: model.follow,
                probation,
                engine,
                x: self.region.x,
                y: self.region.y,
                region: self.region.finding(),
                pad: self.region.pad,
                skin_y: self.region.skin_y.unwrap_or(0),
                sync,
                overlay,
                sinks: sinks.into_iter().flatten().collect(),
                http,
                harvest,
                report,
                log_interval,
            }),
            _ => Err(mistakes.into_list()),
        }
    }
}

/// A file that is read and written, or written twice, would be lost.
fn refuse_shared_files(
    source: Option<&Source>,
    report: Option<&Path>,
    sinks: &[Option<Sink>],
    mistakes: &mut Mistakes,
) {
    let whole = |path: &Path| {
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        path.canonicalize().ok().or(Some(folder?.join(path.file_name()?)))
    };
    let mut taken = vec![];
    taken.extend(source.and_then(Source::file).as_deref().and_then(whole));
    taken.extend(report.and_then(whole));
    for (i, sink) in sinks.iter().enumerate() {
        if let Some(Sink::File(file)) = sink
            && let Some(path) = whole(&file.path)
        {
            // Without `overwrite` a file that exists is left alone; a device is no file to lose.
            if taken.contains(&path) && (file.overwrite || !path.exists()) && !path.starts_with("/dev") {
                let message = "is also the source, the report or another sink. Choose another file";
                mistakes.add(format!("sinks[{i}].path"), message);
            }
            taken.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use nervelight_engines::tensorrt::TensorrtSettings;

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
                Some(rest) if is_setting(rest) || rest == "[[sinks]]" || rest.starts_with("[[model.") => {
                    Some(rest)
                }
                Some(rest) if rest == "[model.follow]" => Some(rest),
                Some(_) => None,
                None => Some(line),
            })
            .collect();
        let raw: Raw = toml::from_str(&switched_on.join("\n")).unwrap();
        let source = &raw.source;
        assert!(source.caps.is_some() && source.path.is_some() && source.paced.is_some());
        assert!(source.seed.is_some() && source.frames.is_some() && source.fps.is_some());
        assert!(source.pipeline.is_some() && source.live.is_some());
        assert!(source.uri.is_some() && source.user.is_some() && source.password_file.is_some());
        assert!(source.transport.is_some() && source.decoder.is_some());
        let tensorrt = &raw.engine.tensorrt;
        assert!(tensorrt.library.is_some() && tensorrt.store.is_some());
        let default = TensorrtSettings::default();
        assert_eq!(
            (tensorrt.workspace_mib, tensorrt.optimization_level, tensorrt.device),
            (default.workspace_mib, default.optimization_level, default.device)
        );
        assert!(raw.engine.library.is_some() && raw.region.x.is_some() && raw.region.y.is_some());
        assert!(raw.region.auto && raw.region.scale && raw.region.spacing_mm.is_some());
        assert!(raw.overlay.threshold.is_some() && raw.overlay.min_area.is_some());
        assert!(raw.model.store.is_some() && raw.model.require_signature.is_some());
        assert!(raw.model.keys.iter().all(|key| PublicKey::new(&key.name, &key.key).is_ok()));
        assert_eq!(raw.model.keys.len(), 1);
        let follow = raw.model.follow.unwrap();
        assert!(follow.window.is_some() && follow.credentials_file.is_some() && follow.name.is_some());
        assert!(follow.wait_for.is_some() && !follow.canaries.is_empty());
        let default = follow::RawFollow::default();
        assert!(follow.plain_http.is_some() && follow.poll_s == default.poll_s);
        assert!(raw.report.path.is_some() && !raw.region.pad);
        let harvest = &raw.harvest;
        assert!(harvest.path.is_some() && harvest.key_device.is_some() && harvest.key.is_some());
        assert_eq!(raw.region.skin_y, Some(0));
        assert!(!raw.overlay.steady && !raw.overlay.measure);
        assert_eq!(raw.http.proxy_hosts, ["cart7.example.org"]);
        assert!(raw.http.certificate.is_some() && raw.http.key.is_some() && raw.http.tokens.is_some());
        assert!(raw.http.audit.is_some());
        assert!(source.host.is_some() && source.port.is_some() && source.silence_s.is_some());
        assert!(raw.sinks.iter().any(|sink| sink.listen.is_some() && sink.content.is_some()));
        assert_eq!(raw.sinks.len(), 7, "one of each kind");

        // What the comments call the default is the default.
        let default = Raw::default();
        assert_eq!(format!("{:?}", raw.deploy), format!("{:?}", default.deploy));
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
        let figures = |h: &harvest::RawHarvest| {
            (h.quota_mb, h.min_interval_s, h.uncertainty, h.area_jump, h.case_gap_min)
        };
        assert_eq!(figures(&raw.harvest), figures(&default.harvest));
        assert_eq!((raw.http.listen, raw.log.interval_s), (default.http.listen, default.log.interval_s));
    }

    #[test]
    fn a_sink_with_a_mistake_does_not_shift_the_others() {
        let text = "[source]\nkind = \"phantom\"\n[[sinks]]\n[[sinks]]\nkind = \"file\"\npath = \"a.mp4\"\n\
                    [[sinks]]\nkind = \"file\"\npath = \"a.mp4\"\n";
        let said = Config::read_text(Path::new("cart.toml"), text).unwrap_err().to_string();
        assert!(said.contains("cart.toml:9: sinks[2].path: is also"), "{said}");
        assert!(said.contains("sinks[0].kind: is missing") && !said.contains("sinks[1]"), "{said}");
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
}

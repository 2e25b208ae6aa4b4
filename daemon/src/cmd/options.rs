//! What a person asks for on the command line, with or without a configuration file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nervelight_engines::settings::{self, Problems};
use toml::{Table, Value};

use crate::config::Config;

/// Where an installed cart keeps its model, and where a clone of the repository has one.
const BUNDLES: [&str; 2] = ["/var/lib/nervelight/model.bundle", "engines/demo.bundle"];

/// A configuration file, and what replaces parts of it.
#[derive(Debug, Default, clap::Args)]
pub struct Wishes {
    /// TOML file; configs/cart.toml explains every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A video file, a URI, a device such as /dev/video0, or "phantom": synthetic ultrasound.
    #[arg(long, required_unless_present = "config")]
    source: Option<String>,
    /// A bundle from `nervelight-train export`; without it and without a configuration the installed one, or the demo's.
    #[arg(long, value_name = "PATH")]
    bundle: Option<PathBuf>,
    /// "preview" (the page), "display", "null" or a GStreamer video sink, in place of the configuration's; may be
    /// repeated. "preview" without a configuration.
    #[arg(long)]
    sink: Vec<String>,
    /// Record to this .mp4 or .mkv as well; may be repeated.
    #[arg(long, value_name = "FILE")]
    record: Vec<PathBuf>,
}

impl Wishes {
    /// What the configuration is called.
    pub fn name(&self) -> String {
        self.config.as_ref().map_or("the command line".into(), |path| path.display().to_string())
    }

    /// The configuration: the file's, and the wishes over it.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(&self) -> Result<Config> {
        let Self { config, source, bundle, sink, record } = self;
        let mut table = match config {
            None => Table::new(),
            Some(path) => {
                let text = settings::text(path)?;
                match text.parse::<Table>() {
                    Ok(table)
                        if source.is_some() || bundle.is_some() || !sink.is_empty() || !record.is_empty() =>
                    {
                        table
                    }
                    // Every mistake with its line.
                    _ => return Ok(Config::read(path)?),
                }
            }
        };
        if let Some(source) = source {
            table.insert("source".into(), Value::Table(self.source(source)?));
        }
        let default = || BUNDLES.into_iter().map(PathBuf::from).find(|path| path.exists());
        if let Some(bundle) = bundle.clone().or_else(|| default().filter(|_| config.is_none())) {
            let model = table.entry("model").or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(model) = model {
                model.insert("bundle".into(), text(&bundle)?);
            }
        }
        let mut sinks = match table.remove("sinks") {
            Some(Value::Array(sinks)) if sink.is_empty() => sinks,
            _ if sink.is_empty() => vec![named_sink("preview")],
            _ => sink.iter().map(|name| named_sink(name)).collect(),
        };
        for path in record {
            let mut sink = kind("file");
            sink.insert("path".into(), text(path)?);
            sinks.push(Value::Table(sink));
        }
        table.insert("sinks".into(), Value::Array(sinks));
        let path = config.clone().unwrap_or_else(|| "the command line".into());
        Config::read_text(&path, &toml::to_string(&table)?).map_err(|problems| without_lines(problems).into())
    }

    fn source(&self, source: &str) -> Result<Table> {
        if source == "phantom" {
            return Ok(kind("phantom"));
        }
        if source.starts_with("/dev/video") {
            let mut table = kind("v4l2");
            table.insert("device".into(), Value::String(source.into()));
            return Ok(table);
        }
        let mut table = kind("file");
        let is_uri = source.contains("://");
        table.insert(
            "path".into(),
            if is_uri { Value::String(source.into()) } else { text(Path::new(source))? },
        );
        // Somebody watches; a recording takes every frame.
        table.insert("paced".into(), Value::Boolean(self.record.is_empty()));
        Ok(table)
    }
}

fn kind(name: &str) -> Table {
    Table::from_iter([("kind".to_owned(), Value::String(name.into()))])
}

fn named_sink(name: &str) -> Value {
    let known = ["preview", "display", "null"].contains(&name);
    let mut table = kind(if known { name } else { "display" });
    if !known {
        table.insert("element".into(), Value::String(name.into()));
    }
    Value::Table(table)
}

/// A path of the command line, which a configuration would take for relative to itself.
fn text(path: &Path) -> Result<Value> {
    let path = std::path::absolute(path).with_context(|| format!("{}: no such path", path.display()))?;
    let text = path.to_str().with_context(|| format!("{}: is not UTF-8. Rename it", path.display()))?;
    Ok(Value::String(text.into()))
}

/// Lines of the table that was put together are nobody's lines.
fn without_lines(mut problems: Problems) -> Problems {
    problems.list.iter_mut().for_each(|problem| problem.line = None);
    problems
}

//! Options that several subcommands take: what to run, and where engines are kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::settings::{self, Problem, Problems};
use nervelight_engines::store::models::Catalog;
use nervelight_engines::tensorrt::TensorrtSettings;
use toml::{Table, Value};

use crate::config::Config;

/// Where an installed cart keeps its models.
const STORE: &str = "/var/lib/nervelight";
/// Where an installed cart has its first model, and where a clone of the repository has one.
const BUNDLES: [&str; 2] = ["/var/lib/nervelight/model.bundle", "engines/demo.bundle"];
/// What stands for a file's name in mistakes of the command line.
const COMMAND_LINE: &str = "the command line";

/// A configuration file, and what replaces parts of it.
#[derive(Debug, Default, clap::Args)]
pub struct RunOptions {
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

impl RunOptions {
    /// What the configuration is called.
    pub fn name(&self) -> String {
        self.config.as_ref().map_or(COMMAND_LINE.into(), |path| path.display().to_string())
    }

    /// The configuration: the file's, with the parts that options replace.
    ///
    /// # Errors
    /// Every mistake in it. A value that came from an option is named by that option.
    pub fn read(&self) -> Result<Config> {
        let Some(path) = &self.config else {
            return self.merge(Table::new());
        };
        let text = settings::text(path)?;
        let replaces_nothing =
            self.source.is_none() && self.bundle.is_none() && self.sink.is_empty() && self.record.is_empty();
        match text.parse::<Table>() {
            Ok(table) if !replaces_nothing => self.merge(table),
            // Every mistake with its line.
            _ => Ok(Config::read_text(path, &text)?),
        }
    }

    /// Puts the options into the configuration's `table` and checks the whole.
    fn merge(&self, mut table: Table) -> Result<Config> {
        if let Some(source) = &self.source {
            table.insert("source".into(), Value::Table(self.source(source)?));
        }
        let installed = Catalog::read(Path::new(STORE)).ok();
        let active = installed.and_then(|store| Some(store.path(store.state().active.as_ref()?)));
        let known = active.into_iter().chain(BUNDLES.into_iter().map(PathBuf::from));
        let default = || known.into_iter().find(|path| path.exists());
        if let Some(bundle) = self.bundle.clone().or_else(|| default().filter(|_| self.config.is_none())) {
            let model = table.entry("model").or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(model) = model {
                model.insert("bundle".into(), absolute("--bundle", &bundle)?);
                // This one is to run, whatever the store's is.
                model.remove("store");
            }
        }
        let mut sinks = match table.remove("sinks") {
            Some(Value::Array(sinks)) if self.sink.is_empty() => sinks,
            _ if self.sink.is_empty() => vec![named_sink("preview")],
            _ => self.sink.iter().map(|name| named_sink(name)).collect(),
        };
        for path in &self.record {
            let mut sink = kind("file");
            sink.insert("path".into(), absolute("--record", path)?);
            sinks.push(Value::Table(sink));
        }
        let count = sinks.len();
        table.insert("sinks".into(), Value::Array(sinks));
        let path = self.config.clone().unwrap_or_else(|| COMMAND_LINE.into());
        match Config::read_text(&path, &toml::to_string(&table)?) {
            Ok(config) => Ok(config),
            Err(problems) => bail!(self.name_options(problems, count)),
        }
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
        let path =
            if is_uri { Value::String(source.into()) } else { absolute("--source", Path::new(source))? };
        table.insert("path".into(), path);
        // Somebody watches; a recording takes every frame.
        table.insert("paced".into(), Value::Boolean(self.record.is_empty()));
        Ok(table)
    }

    /// The option that set the configuration's `key`, of which there are `sinks` tables of sinks; none if the file did.
    pub fn option(&self, key: &str, sinks: usize) -> Option<String> {
        let has_file = self.config.is_some();
        if let Some(rest) = key.strip_prefix("sinks[") {
            let index: usize = rest.split(']').next()?.parse().ok()?;
            // Recordings come last.
            return match index.checked_sub(sinks.saturating_sub(self.record.len())) {
                Some(record) => self.record.get(record).map(|path| format!("--record {}", path.display())),
                None => self.sink.get(index).map(|name| format!("--sink {name}")),
            };
        }
        match key.split('.').next()? {
            "source" => self.source.as_ref().map(|_| "--source".into()),
            "model" => match &self.bundle {
                Some(bundle) => Some(format!("--bundle {}", bundle.display())),
                None => (!has_file).then(|| "--bundle".into()),
            },
            "sinks" if !has_file || !self.sink.is_empty() => Some("--sink and --record".into()),
            _ => None,
        }
    }

    /// The mistakes, each named by its option where it has one. Lines of the merged table are nobody's lines.
    fn name_options(&self, problems: Problems, sinks: usize) -> String {
        let Problems { path, list, more } = problems;
        let named = list.into_iter().map(|problem| {
            let option = problem.key.as_ref().and_then(|key| self.option(key, sinks));
            let path = if option.is_some() { COMMAND_LINE.into() } else { path.clone() };
            let problem = Problem { line: None, key: option.or(problem.key), message: problem.message };
            Problems { path, list: vec![problem], more: 0 }.to_string()
        });
        let mut lines: Vec<_> = named.collect();
        if more > 0 {
            lines.push(Problems { path: path.clone(), list: vec![], more }.to_string().trim().to_owned());
        }
        lines.join("\n")
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

/// A path of the command line. A configuration would take a relative one for relative to itself.
fn absolute(option: &str, path: &Path) -> Result<Value> {
    let absolute =
        std::path::absolute(path).with_context(|| format!("{option} {}: no such path", path.display()))?;
    let text =
        absolute.to_str().with_context(|| format!("{option} {}: is not UTF-8. Rename it", path.display()))?;
    Ok(Value::String(text.into()))
}

/// Where the engine store and the libraries are.
#[derive(Debug, clap::Args)]
pub struct StoreOptions {
    /// Where engines are kept.
    #[arg(long)]
    store: Option<PathBuf>,
    /// The folder of libnvinfer.so, or of libtensorrt_rtx.so.
    #[arg(long)]
    library: Option<PathBuf>,
}

impl StoreOptions {
    /// Replaces the settings that an option is given for.
    pub fn apply(&self, settings: &mut TensorrtSettings) {
        for (given, setting) in [(&self.store, &mut settings.store), (&self.library, &mut settings.library)] {
            if given.is_some() {
                setting.clone_from(given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_the_option_that_set_it() {
        let none = RunOptions { config: Some("cart.toml".into()), ..RunOptions::default() };
        for key in ["source.path", "model.bundle", "sinks", "sinks[0].path", "http.listen"] {
            assert_eq!(none.option(key, 1), None, "{key} is the file's");
        }
        let options = RunOptions {
            source: Some("clip.mp4".into()),
            record: vec!["a.mp4".into(), "b.avi".into()],
            ..RunOptions::default()
        };
        let option = |key: &str| options.option(key, 3).unwrap();
        assert_eq!((option("source.path"), option("source")), ("--source".into(), "--source".into()));
        assert_eq!(
            (option("model.bundle"), option("sinks[2].path")),
            ("--bundle".into(), "--record b.avi".into())
        );
        assert_eq!(options.option("sinks[0].kind", 3), None, "the default has no option");
        let shown = RunOptions { sink: vec!["preview".into()], ..none };
        assert_eq!(shown.option("sinks[0].kind", 1).unwrap(), "--sink preview");
    }
}

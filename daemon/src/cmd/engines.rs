//! `nervelightd engines`: what the engine store holds, whether it can be trusted, and what can go.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use nervelight_engines::digest::sha256;
use nervelight_engines::store::engines::{Entry, Store, now};
use nervelight_engines::tensorrt::{self, Machine, Product, TensorrtSettings};
use nervelight_engines::{Bundle, Precision};
use serde_json::json;

use crate::cmd::options::StoreOptions;
use crate::config::Config;

/// Which store to look at, and what to do with it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The store as this configuration says.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Remove what is damaged, and what another GPU, driver or TensorRT than this machine's would need.
    #[arg(long)]
    prune: bool,
    /// With --prune: remove everything that is not of this bundle, too.
    #[arg(long, requires = "prune")]
    keep: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: StoreOptions,
}

/// Lists the store, each plan compared with its record; prunes it if `--prune` is given.
///
/// # Errors
/// When the store cannot be read, or a file not removed.
pub fn engines(arguments: &Arguments) -> Result<()> {
    let mut settings = match &arguments.config {
        Some(path) => Config::read(path)?.engine.tensorrt,
        None => TensorrtSettings::default(),
    };
    arguments.location.apply(&mut settings);
    let store = Store::new(settings.store.as_deref());
    // Without a GPU here it is not known whose plans these are.
    let here = |product: Product| match tensorrt::machine(product, &settings) {
        Ok(machine) => Some(machine),
        Err(error) => {
            tracing::warn!(%error, "it is not known which plans are of other machines");
            None
        }
    };
    let is_asked = |product: &Product| product.is_compiled() || *product == Product::Tensorrt;
    let machines: Vec<_> = Product::ALL.into_iter().filter(is_asked).filter_map(here).collect();
    let wanted = arguments.keep.as_ref().map(digests).transpose()?;
    let judged: Vec<_> = store
        .list()?
        .into_iter()
        .map(|entry| {
            let (state, is_useless) = judge(&entry, &machines, wanted.as_deref());
            (entry, state, is_useless)
        })
        .collect();
    match arguments.json {
        true => {
            outln!("{}", serde_json::to_string_pretty(&judged.iter().map(describe).collect::<Vec<_>>())?)
        }
        false => out!("{}", table(&judged, &store)),
    }
    if arguments.prune {
        store.sweep()?;
        for (entry, state, _) in judged.iter().filter(|(.., is_useless)| *is_useless) {
            store.forget(&entry.name)?;
            tracing::info!(plan = %entry.name, %state, "removed");
        }
    }
    Ok(())
}

/// sha256 of each model in the bundle.
fn digests(path: &PathBuf) -> Result<Vec<String>> {
    let bundle = Bundle::open(path)?;
    let all = Precision::ALL.map(Precision::tensorrt_file);
    let present = all.iter().filter(|file| bundle.manifest.files.contains_key(**file));
    present.map(|file| Ok(sha256(&bundle.read(file)?))).collect()
}

/// What a plan is good for, in a word or two, and whether it may go.
fn judge(entry: &Entry, machines: &[Machine], wanted: Option<&[String]>) -> (String, bool) {
    if let Some(fault) = &entry.fault {
        return (format!("damaged: {fault}"), true);
    }
    let Some(record) = &entry.record else { return ("damaged".into(), true) };
    let key = &record.key;
    let here = machines.iter().find(|machine| machine.product.to_string() == key.backend);
    if here.is_some_and(|here| here.gpu != key.gpu || here.version != key.version) {
        return ("of another GPU, driver or TensorRT".into(), true);
    }
    if wanted.is_some_and(|wanted| !wanted.contains(&key.onnx)) {
        return ("of another bundle".into(), true);
    }
    match &record.rejected {
        Some(_) => ("rejected by the golden frames".into(), false),
        None => ("good".into(), false),
    }
}

type Judged = (Entry, String, bool);

fn describe((entry, state, is_useless): &Judged) -> serde_json::Value {
    json!({
        "name": entry.name, "state": state, "useless": is_useless, "bytes": entry.bytes, "record": entry.record,
    })
}

fn table(judged: &[Judged], store: &Store) -> String {
    let mut text = format!("{}\n", store.folder().display());
    if judged.is_empty() {
        text += "  no engines\n";
    }
    for (entry, state, _) in judged {
        let mb = entry.bytes as f64 / 1e6;
        let what = entry.record.as_ref().map_or_else(String::new, |record| {
            let (key, age) = (&record.key, now().saturating_sub(record.built) as f64 / 86_400.0);
            format!(
                "{} {}, {} {}, {}, {age:.1} days old, built in {:.0} s, ",
                record.model, record.precision, key.backend, key.version, key.gpu.name, record.seconds
            )
        });
        let _ = writeln!(text, "  {}  {what}{mb:.1} MB: {state}", entry.name);
    }
    text
}

//! `nervelightd verify`: whether a bundle is whole, whose it is, and whether a cart would take it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nervelight_engines::Bundle;
use nervelight_engines::bundle::PublicKey;
use nervelight_engines::golden;
use nervelight_engines::store::models::{Catalog, ModelsError};

use crate::config::Config;

/// Which bundle, and whose signature counts.
#[derive(clap::Args)]
pub struct Arguments {
    /// A bundle: a directory or a .tar.
    bundle: PathBuf,
    /// A public key under a name; may be repeated. The bundle must be signed by one of the keys that are given.
    #[arg(long, value_name = "NAME=BASE64", value_parser = parse_key)]
    key: Vec<PublicKey>,
    /// Files of public keys, as `nervelight-train keygen` writes them.
    #[arg(long, value_name = "FILE.pub", num_args = 1..)]
    keys: Vec<PathBuf>,
    /// The keys and the store of this cart: what it would refuse is refused.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn parse_key(text: &str) -> Result<PublicKey, String> {
    let (name, key) = text.split_once('=').ok_or("it is NAME=BASE64, the second line of a .pub file")?;
    PublicKey::new(name, key).map_err(|e| e.to_string())
}

/// Verifies signature, every digest, model files and golden frames, and says what was found.
///
/// # Errors
/// The first thing that is wrong: what, where, and what to do.
pub fn verify(arguments: &Arguments) -> Result<()> {
    let Arguments { bundle: path, key, keys: files, config } = arguments;
    let mut keys = key.clone();
    for file in files {
        keys.push(PublicKey::read(file)?);
    }
    let mut required = !keys.is_empty();
    let mut floor = 0;
    if let Some(config) = config {
        let config = Config::read(config)?;
        keys.extend(config.keys);
        required |= config.require_signature;
        if let Some(store) = &config.store {
            floor = Catalog::read(store)?.state().floor;
        }
    }
    let bundle = Bundle::open_trusted(path, &keys, required)?;
    let manifest = &bundle.manifest;
    let models: Vec<&String> = manifest.files.keys().filter(|name| name.ends_with(".onnx")).collect();
    for name in &models {
        bundle.model_file(name)?;
    }
    let frames = bundle.golden()?;
    golden::check_shown(&bundle)?;
    let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let signed = match (&bundle.signer, bundle.is_signed()) {
        (Some(signer), _) => format!("by {signer}"),
        (None, true) if keys.is_empty() => {
            "there is one; no key was given to check it (--key, --keys, --config)".into()
        }
        (None, true) => format!("by none of these keys: {}", names.join(", ")),
        (None, false) => "none".into(),
    };
    let record = manifest.files.contains_key("record.json");
    outln!("model      {}", bundle.model());
    outln!("digest     {}", bundle.digest);
    outln!("signature  {signed}");
    outln!("serial     {}", manifest.serial.map_or("none".into(), |serial| serial.to_string()));
    outln!("files      {}, {:.1} MB, each as the manifest says", manifest.files.len(), bytes as f64 / 1e6);
    outln!("models     {}", models.into_iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    outln!("golden     {} frames", frames.len());
    outln!("record     {}", if record { "record.html, record.json" } else { "none" });
    if manifest.serial.unwrap_or(0) < floor {
        return Err(ModelsError::Serial { bundle: path.clone(), serial: manifest.serial, floor }.into());
    }
    if frames.is_empty() {
        bail!(
            "{}: it has no golden frames, so no cart can prove its engine. Export it again",
            path.display()
        );
    }
    Ok(())
}

/// What a subcommand about the store needs, which is a configuration's, given, or the installed cart's.
#[derive(clap::Args)]
pub struct StorePlace {
    /// The store and the keys of this configuration.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder of the store, such as /var/lib/nervelight.
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "config")]
    store: Option<PathBuf>,
}

impl StorePlace {
    /// Whether an option names a store.
    pub fn is_given(&self) -> bool {
        self.config.is_some() || self.store.is_some()
    }

    /// The folder, and whose signatures are named.
    ///
    /// # Errors
    /// When neither option names a store.
    pub fn find(&self) -> Result<(PathBuf, Vec<PublicKey>)> {
        if let Some(path) = &self.config {
            let config = Config::read(path)?;
            let store = config.store.with_context(|| {
                format!(
                    "{}: model.store is missing: there is no store of models. Set it, or give --store",
                    path.display()
                )
            })?;
            return Ok((store, config.keys));
        }
        let store = self.store.clone().context("which store? Give --config FILE or --store DIR")?;
        if !store.is_dir() {
            bail!("--store {}: is no folder", store.display());
        }
        Ok((store, vec![]))
    }
}

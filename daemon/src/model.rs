//! Which model runs first: the store's active one, or `model.bundle` where there is no store or a new one.

use std::fmt::Write;

use anyhow::{Context, Result};
use nervelight_engines::Bundle;
use nervelight_engines::store::models::{Catalog, Models, Stored};

use crate::config::Config;

/// What the daemon starts with.
pub struct First {
    /// The bundle to run.
    pub bundle: Bundle,
    /// The store, held by this process from now on; none where there is none.
    pub models: Option<Models>,
}

/// Opens the store and its active bundle. A new store is filled with `model.bundle` first. A model whose probation ended in
/// a crash or a power cut has given way to the one before it.
///
/// # Errors
/// Why there is no model to run.
pub fn first(config: &Config) -> Result<First> {
    let (bundle, models) = match &config.store {
        None => (look(config)?, None),
        Some(root) => {
            let mut models = Models::open(root)?;
            let bundle = match models.start(&config.keys)? {
                Some(started) => {
                    if let Some(rolled_back) = started.rolled_back {
                        tracing::error!(
                            digest = %rolled_back.digest, now = %started.bundle.digest, why = %rolled_back.why,
                            "went back to the model before"
                        );
                    }
                    started.bundle
                }
                None => {
                    let path = config.bundle.as_ref().with_context(|| empty(root))?;
                    let bundle = models.fill(path, &config.keys, config.require_signature)?;
                    tracing::info!(store = %root.display(), bundle = %path.display(), "filled the new model store");
                    bundle
                }
            };
            (bundle, Some(models))
        }
    };
    let (manifest, signer) = (&bundle.manifest, bundle.signer.as_deref());
    tracing::info!(
        model = %manifest.name, version = %manifest.version, digest = %bundle.digest, serial = manifest.serial,
        signer, "bundle verified"
    );
    if config.require_signature && signer.is_none() {
        tracing::warn!(
            "no key of model.keys signed the model that runs: it was let in before signatures were required, or its \
             key was removed"
        );
    }
    Ok(First { bundle, models })
}

/// The bundle that would run first, without changing anything.
///
/// # Errors
/// Why there is none.
pub fn look(config: &Config) -> Result<Bundle> {
    let Config { bundle, store, keys, require_signature, .. } = config;
    if let Some(root) = store {
        let catalog = Catalog::read(root)?;
        if let Some(active) = &catalog.state().active {
            return Ok(catalog.bundle(active, keys)?);
        }
        let path = bundle.as_ref().with_context(|| empty(root))?;
        return Ok(Bundle::open_trusted(path, keys, *require_signature)?);
    }
    let path =
        bundle.as_ref().context("model.bundle is missing: set it to the model's bundle, directory or tar")?;
    Ok(Bundle::open_trusted(path, keys, *require_signature)?)
}

fn empty(root: &std::path::Path) -> String {
    format!(
        "model store {}: it has no active model, and model.bundle is missing. Set model.bundle to the first model, \
         or choose a stored one with `nervelightd models use DIGEST`",
        root.display()
    )
}

/// What is in the store, in a line.
///
/// # Errors
/// When it cannot be read.
pub fn describe(config: &Config) -> Result<String> {
    let Some(root) = &config.store else { return Ok("none".into()) };
    let catalog = Catalog::read(root)?;
    let stored = catalog.list(&config.keys)?;
    let mut text = format!("{}: {} bundles", root.display(), stored.len());
    let name = |digest: &str| {
        let found = stored.iter().find(|stored| stored.digest == digest);
        found.map_or_else(|| format!("{digest}, which is missing"), short)
    };
    let state = catalog.state();
    for (word, digest) in [("active", &state.active), ("previous", &state.previous)] {
        if let Some(digest) = digest {
            let _ = write!(text, ", {word} {}", name(digest));
        }
    }
    if state.probation.is_some() {
        text += " (on probation)";
    }
    let _ = write!(text, ", floor {}", state.floor);
    Ok(text)
}

/// `name version (12 digits)`.
fn short(stored: &Stored) -> String {
    let Stored { name, version, digest, .. } = stored;
    format!("{name} {version} ({})", digest.get(..12).unwrap_or(digest))
}

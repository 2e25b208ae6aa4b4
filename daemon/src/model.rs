//! Which model runs first: the store's active one, or `model.bundle` where there is no store or a new one.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use nervelight_engines::Bundle;
use nervelight_engines::store::models::{Catalog, Models, ModelsError, Stored};

use crate::config::Config;

/// What the daemon starts with.
pub struct First {
    /// The bundle to run.
    pub bundle: Bundle,
    /// The store, held by this process from now on; none where there is none, or where it cannot be used.
    pub models: Option<Models>,
    /// Why the store cannot be used, and what to do; `model.bundle` runs then, and the store is left as it is.
    pub fault: Option<String>,
}

/// Opens the store and its active bundle. A new store is filled with `model.bundle` first. A model whose probation ended in
/// a crash or a power cut has given way to the one before it. Where the store cannot be used, `model.bundle` runs.
///
/// # Errors
/// Why there is no model to run.
pub fn first(config: &Config) -> Result<First> {
    let first = match &config.store {
        None => First { bundle: look(config)?, models: None, fault: None },
        Some(root) => stored(config, root).or_else(|error| {
            let (bundle, fault) = without_store(config, error)?;
            tracing::error!(bundle = %bundle.path.display(), "model.bundle runs: {fault}");
            anyhow::Ok(First { bundle, models: None, fault: Some(fault) })
        })?,
    };
    let bundle = &first.bundle;
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
    Ok(first)
}

/// What the store runs.
fn stored(config: &Config, root: &Path) -> Result<First> {
    let mut models = Models::open(root)?;
    let is_lost = models.is_lost();
    if is_lost {
        tracing::warn!(
            store = %root.display(), floor = models.state().floor,
            "the model store has bundles and no state.json: which model ran is not known. The floor is the largest \
             serial among them"
        );
    }
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
            match is_lost {
                true => tracing::warn!(
                    bundle = %path.display(),
                    "model.bundle runs. Choose another model with `nervelightd models use DIGEST`"
                ),
                false => {
                    tracing::info!(store = %root.display(), bundle = %path.display(), "filled the new model store");
                }
            }
            bundle
        }
    };
    Ok(First { bundle, models: Some(models), fault: None })
}

/// The bundle of `model.bundle`, for a store that cannot be used, and what to say of the store. A store that another process
/// holds is none of these: that process shows the video.
fn without_store(config: &Config, error: anyhow::Error) -> Result<(Bundle, String)> {
    let is_held = matches!(error.downcast_ref(), Some(ModelsError::Held { .. }));
    let opened = config
        .bundle
        .as_ref()
        .filter(|_| !is_held)
        .and_then(|path| Bundle::open_trusted(path, &config.keys, config.require_signature).ok());
    match opened {
        Some(bundle) => {
            Ok((bundle, format!("the model store cannot be used, and nothing can be deployed: {error:#}")))
        }
        None => Err(error),
    }
}

/// The bundle that would run first, without changing anything.
///
/// # Errors
/// Why there is none.
pub fn look(config: &Config) -> Result<Bundle> {
    let Config { bundle, store, keys, require_signature, .. } = config;
    if let Some(root) = store {
        let active = || {
            let catalog = Catalog::read(root)?;
            let Some(active) = &catalog.state().active else { return Ok(None) };
            let earlier = || catalog.bundle(catalog.previous_model()?, keys).ok();
            catalog.bundle(active, keys).or_else(|error| earlier().ok_or(error)).map(Some)
        };
        match active() {
            Ok(Some(active)) => return Ok(active),
            Ok(None) => {}
            Err(error) => return Ok(without_store(config, error.into())?.0),
        }
        let path = bundle.as_ref().with_context(|| empty(root))?;
        return Ok(Bundle::open_trusted(path, keys, *require_signature)?);
    }
    let path =
        bundle.as_ref().context("model.bundle is missing: set it to the model's bundle, directory or tar")?;
    Ok(Bundle::open_trusted(path, keys, *require_signature)?)
}

fn empty(root: &Path) -> String {
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
    for (word, digest) in [("active", state.active.as_deref()), ("previous", catalog.previous_model())] {
        if let Some(digest) = digest {
            let _ = write!(text, ", {word} {}", name(digest));
        }
    }
    if state.probation.is_some() {
        text += " (on probation)";
    }
    let _ = write!(text, ", floor {}", state.floor);
    if catalog.is_lost() {
        text += ". Its state.json is gone, and `run` would take model.bundle";
    }
    if let Some(active) = &state.active {
        catalog.bundle(active, &config.keys)?;
    }
    Ok(text)
}

/// `name version (12 digits)`.
fn short(stored: &Stored) -> String {
    let Stored { name, version, digest, .. } = stored;
    format!("{name} {version} ({})", digest.get(..12).unwrap_or(digest))
}

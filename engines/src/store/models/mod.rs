//! The store of models: bundles by digest, and which of them runs.
//!
//! ```text
//! bundles/<digest>/    whole and verified bundles
//! state.json           active, previous, probation, floor, kept; replaced at once
//! staging/             what is being unpacked or removed; swept when the store is opened
//! uploads/             files on their way in
//! lock                 held by the one process that changes it
//! ```
//!
//! A bundle is unpacked and verified under `staging/`, brought to the disk, and renamed to its place; the state that names
//! it is written after that. A power cut at any instant leaves the old state or the new one.

mod catalog;
mod changes;
#[cfg(test)]
mod cuts;
mod error;
mod stage;
mod state;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::Bundle;
use crate::bundle::PublicKey;
use crate::store::{atomic, disk};

pub use catalog::{Catalog, Stored, find};
pub use error::ModelsError;
pub use stage::{Floor, RESERVE};
pub use state::{Probation, RolledBack, State};

/// The store, held by this process alone. See [`Catalog`] for what is in it.
#[derive(Debug)]
pub struct Models {
    catalog: Catalog,
    /// Locked.
    _lock: File,
}

/// What a store begins with.
#[derive(Debug)]
pub struct Started {
    /// The active bundle.
    pub bundle: Bundle,
    /// Why it is the one before: the last run ended in the midst of a probation, or the active bundle cannot be opened.
    pub rolled_back: Option<RolledBack>,
}

impl Models {
    /// Opens the store in the folder `root`, makes it if it is new, and removes what power cuts left unfinished.
    ///
    /// # Errors
    /// When another process holds it, or the disk refuses.
    pub fn open(root: &Path) -> Result<Self, ModelsError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |reason| ModelsError::Io { path, reason }
        };
        let is_new = disk::kind(root).is_err();
        for folder in [root.join("bundles"), root.join("uploads"), staging(root)] {
            disk::create_folders(&folder).map_err(failed(&folder))?;
        }
        disk::sync(root).map_err(failed(root))?;
        if is_new {
            let parent = atomic::directory(root);
            disk::sync(parent).map_err(failed(parent))?;
        }
        let lock = disk::lock(&root.join("lock")).map_err(failed(root))?;
        let Some(lock) = lock else {
            return Err(ModelsError::Held { root: root.into() });
        };
        let mut models = Self { catalog: Catalog::read(root)?, _lock: lock };
        models.sweep()?;
        Ok(models)
    }

    /// Where bundles are unpacked and removed.
    fn staging(&self) -> PathBuf {
        staging(&self.catalog.root)
    }

    /// Opens the active bundle; none in a new store. A probation that no orderly stop left has ended in a crash or a power
    /// cut: then the store goes back first, and so it does when the active bundle cannot be opened.
    ///
    /// # Errors
    /// When no bundle can be opened, or the state cannot be written.
    pub fn start(&mut self, keys: &[PublicKey]) -> Result<Option<Started>, ModelsError> {
        let mut rolled_back = None;
        if let Some(probation) = self.state().probation.clone() {
            if probation.stopped {
                self.resume_probation()?;
            } else if self.previous_model().is_some() {
                self.roll_back("the daemon ended without a stop while this model was on probation")?;
                rolled_back = self.state().rolled_back.clone();
            }
        }
        let Some(active) = self.state().active.clone() else { return Ok(None) };
        let bundle = match self.bundle(&active, keys) {
            Ok(bundle) => bundle,
            Err(error) => {
                // What it goes back to must be there: otherwise the first error is the one to hear.
                let earlier: Vec<String> = self.earlier().map(str::to_owned).collect();
                let opened = earlier.iter().find_map(|digest| self.bundle(digest, keys).ok());
                let Some(bundle) = opened else { return Err(error) };
                self.go_back_to(&bundle.digest, &error.to_string())?;
                rolled_back = self.state().rolled_back.clone();
                bundle
            }
        };
        Ok(Some(Started { bundle, rolled_back }))
    }
}

fn staging(root: &Path) -> PathBuf {
    root.join("staging")
}

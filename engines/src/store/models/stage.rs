//! Bundles come into the store, and go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Models, ModelsError, State};
use crate::Bundle;
use crate::bundle::{Head, PublicKey, Trust};
use crate::store::disk::{self, Kind};

/// Bytes that stay free on the store's file system, for the state, logs and a recording's end.
pub const RESERVE: u64 = 64 << 20;

/// Kept models that stay stored.
const SPARE: usize = 3;

/// What a bundle's serial must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// No less than the store's floor: whoever sends it may send an old one.
    Held,
    /// Anything: an operator at the machine brings it.
    Waived,
}

impl Models {
    /// Takes the bundle in a tar or directory into the store: its signature, schema, geometry and serial and the free space
    /// are checked before anything is unpacked. One that is stored already is opened.
    ///
    /// # Errors
    /// Why it is not accepted; the store is then as it was.
    pub fn stage(
        &mut self,
        path: &Path,
        keys: &[PublicKey],
        required: bool,
        floor: Floor,
    ) -> Result<Bundle, ModelsError> {
        let trust = Trust { keys, required };
        let head = Head::read(path, trust)?;
        let serial = head.manifest.serial;
        if floor == Floor::Held && serial.unwrap_or(0) < self.state().floor {
            return Err(ModelsError::Serial { bundle: path.into(), serial, floor: self.state().floor });
        }
        let place = self.path(&head.digest);
        if let Ok(bundle) = Bundle::open_trusted(&place, keys, required)
            && bundle.digest == head.digest
        {
            return Ok(bundle);
        }
        self.check_space(path, head.bytes)?;
        let staged = self.fresh();
        let unpacked = self.unpack(path, &staged, &head.digest, trust);
        // What is left of it; where that fails, the next opening sweeps it.
        let _ = disk::remove_folder(&staged);
        unpacked?;
        Ok(Bundle::open_trusted(place, keys, required)?)
    }

    fn check_space(&self, bundle: &Path, needed: u64) -> Result<(), ModelsError> {
        let root = self.root();
        let free = disk::free(root).map_err(|reason| ModelsError::Io { path: root.into(), reason })?;
        if free.saturating_sub(RESERVE) < needed {
            let (root, bundle) = (root.into(), bundle.into());
            return Err(ModelsError::Space { root, bundle, needed, reserve: RESERVE, free });
        }
        Ok(())
    }

    /// Unpacks and verifies a bundle under `staged`, and moves it to its place.
    fn unpack(&self, path: &Path, staged: &Path, digest: &str, trust: Trust<'_>) -> Result<(), ModelsError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |reason| ModelsError::Io { path, reason }
        };
        disk::create_folders(staged).map_err(failed(staged))?;
        let bundle = Bundle::unpack_into(staged, path, trust)?;
        if bundle.digest != digest {
            return Err(crate::BundleError::Changed { path: path.into() }.into());
        }
        let root = bundle.root();
        sync_all(root).map_err(failed(root))?;
        let place = self.path(digest);
        // A damaged one goes first; it could be used no more.
        self.discard(digest)?;
        disk::rename(root, &place).and_then(|()| disk::sync(&self.bundles())).map_err(failed(&place))
    }

    /// Fills a new store with its first model.
    ///
    /// # Errors
    /// Those of [`Self::stage`].
    pub fn fill(&mut self, path: &Path, keys: &[PublicKey], required: bool) -> Result<Bundle, ModelsError> {
        let bundle = self.stage(path, keys, required, Floor::Waived)?;
        let floor = self.state().floor.max(bundle.manifest.serial.unwrap_or(0));
        let mut state = State { active: Some(bundle.digest.clone()), floor, ..self.state().clone() };
        state.approve(&bundle.digest);
        self.become_state(state)?;
        Ok(bundle)
    }

    /// Removes every bundle but the active one, what a rollback leads to, the last three that were kept, and those in
    /// `keep`; returns the digests.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn prune(&mut self, keep: &[String]) -> Result<Vec<String>, ModelsError> {
        let mut gone = self.digests()?;
        gone.retain(|digest| !self.is_needed(digest) && !keep.contains(digest));
        gone.iter().try_for_each(|digest| self.discard(digest))?;
        self.sweep()?;
        Ok(gone)
    }

    /// Removes the stored bundle with this digest, one that was refused before it was shown; whether it was there and
    /// nothing needs it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&mut self, digest: &str) -> Result<bool, ModelsError> {
        if !self.is_stored(digest) || self.is_needed(digest) {
            return Ok(false);
        }
        self.discard(digest)?;
        Ok(true)
    }

    fn is_needed(&self, digest: &str) -> bool {
        let State { active, kept, .. } = self.state();
        active.as_deref() == Some(digest)
            || self.previous_model() == Some(digest)
            || kept.iter().rev().take(SPARE).any(|kept| kept == digest)
    }

    /// Takes a bundle out of its place, whole, so that none is ever seen half removed.
    fn discard(&self, digest: &str) -> Result<(), ModelsError> {
        let (place, away) = (self.path(digest), self.fresh());
        let failed = |reason| ModelsError::Io { path: place.clone(), reason };
        match disk::rename(&place, &away) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(failed)?,
        }
        disk::sync(&self.bundles()).map_err(failed)?;
        disk::remove_folder(&away).map_err(failed)
    }

    /// Removes what is left under `staging/`.
    pub(super) fn sweep(&mut self) -> Result<(), ModelsError> {
        let staging = self.staging();
        let sweep = || {
            for (path, kind) in disk::entries(&staging)? {
                match kind {
                    Kind::Folder => disk::remove_folder(&path)?,
                    _ => disk::remove_file(&path)?,
                }
            }
            crate::store::atomic::sweep(self.root())
        };
        sweep().map_err(|reason| ModelsError::Io { path: staging.clone(), reason })
    }

    /// A place under `staging/` that nothing has yet: it was swept, and one process holds the store.
    fn fresh(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        self.staging().join(COUNT.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// Brings a folder and all below it to the disk. Nobody is to write to its files again.
fn sync_all(folder: &Path) -> io::Result<()> {
    for (path, kind) in disk::entries(folder)? {
        match kind {
            Kind::Folder => sync_all(&path)?,
            _ => {
                let file = disk::open(&path)?;
                disk::set_mode(&file, 0o444)?;
                file.sync_all()?;
            }
        }
    }
    disk::sync(folder)
}

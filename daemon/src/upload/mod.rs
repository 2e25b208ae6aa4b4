//! Bundles on their way in, piece by piece: each is a file in the store's folder `uploads` and outlives broken
//! connections and restarts. A bundle is handed on when all of it is there and has the digest that was announced.
//!
//! Invariant: what was not asked for takes no room: sizes, numbers and times are limited, and a piece that does not follow
//! on what is there is refused.

mod error;
mod part;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nervelight_engines::bundle::LARGEST_TAR;
use nervelight_engines::digest::{hex, is_sha256};
use nervelight_engines::store::disk;
use nervelight_engines::store::models::RESERVE;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::lock::lock;
pub use error::UploadError;
pub use part::{About, Part, PartWriter};

/// Uploads at once.
const MOST: usize = 4;
/// One that is sent nothing for so long is removed.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// One that is sent nothing for so long makes room for another.
const IDLE: Duration = Duration::from_secs(600);

/// The uploads of a store.
#[derive(Clone)]
pub struct Uploads {
    folder: Arc<Path>,
    parts: Arc<Mutex<BTreeMap<String, Arc<Part>>>>,
}

impl Uploads {
    /// Those in `folder`, which is there, before anything is deployed. What cannot be gone on with is removed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut parts = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(ending) = path.extension().and_then(|ending| ending.to_str()) else { continue };
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            match ending {
                // Its deployment did not get as far as the store before the daemon ended.
                part::WHOLE => fs::remove_file(&path)?,
                part::BYTES | part::ABOUT if !parts.contains_key(id) => {}
                _ => continue,
            }
            match Part::found(folder, id) {
                Some(part) => {
                    parts.insert(id.to_owned(), Arc::new(part));
                }
                None => part::remove(folder, id),
            }
        }
        let uploads = Self { folder: folder.into(), parts: Arc::new(Mutex::new(parts)) };
        uploads.sweep();
        Ok(uploads)
    }

    /// Begins the upload of `bytes` bytes with this SHA-256 by `owner`, or finds the one that was begun. The second value
    /// says whether it is new.
    ///
    /// # Errors
    /// When it is too large, there is no room, or too many are under way.
    pub fn begin(&self, about: About) -> Result<(Arc<Part>, bool), UploadError> {
        let About { bytes, sha256, .. } = &about;
        if !(1..=LARGEST_TAR).contains(bytes) {
            return Err(UploadError::Size { bytes: *bytes, most: LARGEST_TAR });
        }
        if !is_sha256(sha256) {
            return Err(UploadError::NoDigest);
        }
        self.sweep();
        let mut parts = lock(&self.parts);
        if let Some(part) = parts.values().find(|part| part.about == about) {
            return Ok((part.clone(), false));
        }
        while parts.len() >= MOST {
            let oldest = parts.values().max_by_key(|part| part.idle()).cloned();
            match oldest {
                Some(part) if part.idle() > IDLE && part.remove() => parts.remove(&part.id),
                _ => return Err(UploadError::Many(MOST)),
            };
        }
        // The tar, and what is in it, beside what the others still lack.
        let promised: u64 = parts.values().map(|part| 2 * part.about.bytes - part.offset()).sum();
        let needed = (2 * about.bytes).saturating_add(promised).saturating_add(RESERVE);
        let free = disk::free(&self.folder).map_err(UploadError::Disk)?;
        if free < needed {
            return Err(UploadError::Room { needed, free });
        }
        let mut random = [0; 16];
        getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| UploadError::Disk(error.into()))?;
        let id = hex(&random);
        let part = Arc::new(Part::begin(&self.folder, &id, about).map_err(UploadError::Disk)?);
        parts.insert(id, part.clone());
        Ok((part, true))
    }

    /// The upload `id` of `owner`. Those of others are as good as not there.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, owner: &str, id: &str) -> Result<Arc<Part>, UploadError> {
        let found = lock(&self.parts).get(id).filter(|part| part.about.owner == owner).cloned();
        found.ok_or(UploadError::Unknown)
    }

    /// Gives up an upload.
    ///
    /// # Errors
    /// When there is none, or a piece of it is being written.
    pub fn give_up(&self, owner: &str, id: &str) -> Result<(), UploadError> {
        let part = self.find(owner, id)?;
        if !part.remove() {
            return Err(UploadError::Busy(part.offset()));
        }
        lock(&self.parts).remove(id);
        Ok(())
    }

    /// The file of an upload that is whole, which is nobody's upload from now on. Reads it if that was not done yet.
    ///
    /// # Errors
    /// When it is not whole. One that has another digest is given up.
    pub fn take(&self, owner: &str, id: &str) -> Result<PathBuf, UploadError> {
        let part = self.find(owner, id)?;
        let writer = part.writer(part.about.bytes).map_err(|error| match error {
            UploadError::Offset(offset) => UploadError::Unfinished { offset, bytes: part.about.bytes },
            error => error,
        })?;
        let found = writer.digest().map_err(UploadError::Disk)?;
        if found != part.about.sha256 {
            drop(writer);
            self.give_up(owner, id)?;
            return Err(UploadError::Digest { found, announced: part.about.sha256.clone() });
        }
        let path = writer.hand_over().map_err(UploadError::Disk)?;
        lock(&self.parts).remove(id);
        Ok(path)
    }

    /// Takes the file back that [`Self::take`] gave, as it was not wanted yet.
    pub fn give_back(&self, part: Arc<Part>, path: &Path) {
        match part.take_back(path) {
            Ok(()) => {
                lock(&self.parts).insert(part.id.clone(), part);
            }
            Err(error) => tracing::warn!(%error, "an upload was lost; it has to be sent again"),
        }
    }

    /// Removes what was sent nothing for a day.
    pub fn sweep(&self) {
        lock(&self.parts).retain(|_, part| {
            let is_left = part.idle() > DAY && part.remove();
            if is_left {
                tracing::info!(owner = %part.about.owner, bytes = part.offset(), "an upload that nobody went on with was removed");
            }
            !is_left
        });
    }
}

#[cfg(test)]
mod tests;

//! The folder on the cart: an item is a folder of three files, whole or not there.
//!
//! ```text
//! case.json                            the present case, for a restart
//! 3f0c9a1e5b7d2846/                    a case
//!   1764322222-auto-9f3c21ab0d4e7756/  when it was kept, whether somebody flagged it, its name
//!     crop.png  map.png  item.json
//! ```
//!
//! Invariant: only folders with such names are deleted, only these three files in them, and never what else lies there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::store::atomic::{self, Access};
use nervelight_engines::store::disk;

use crate::harvest::case::Note;
use crate::harvest::item::{Cause, Kept};
use crate::harvest::picture::Picture;

/// The files of an item. What makes it one is written last and deleted first.
pub const FILES: [&str; 3] = [RECORD, CROP, MAP];
/// What is known of it.
pub const RECORD: &str = "item.json";
/// Its crop.
pub const CROP: &str = "crop.png";
/// Its map.
pub const MAP: &str = "map.png";
/// The present case.
const NOTE: &str = "case.json";
/// Held by the one process that writes.
const LOCK: &str = ".lock";
/// More than an item takes.
const PROBE: usize = 512 * 1024;
/// Beginning of the names of folders that are being written.
const UNFINISHED: &str = ".new-";

/// The folder, as its one writer has it.
pub struct Shelf {
    root: PathBuf,
    /// The oldest first.
    entries: Vec<Entry>,
    bytes: u64,
    lock: File,
}

/// An item in the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// When it was kept, in seconds since 1970.
    pub at: u64,
    /// Somebody flagged it.
    pub is_flagged: bool,
    /// Where it lies.
    pub path: PathBuf,
    bytes: u64,
}

/// What came of making room.
pub struct Room {
    /// Items that were deleted for it.
    pub deleted: u64,
    /// Whether there is enough now.
    pub is_enough: bool,
}

impl Shelf {
    /// Opens the folder, makes it where there is none, and removes what power cuts left of items.
    ///
    /// # Errors
    /// When it cannot be used, or another process uses it.
    pub fn open(root: &Path) -> Result<Self> {
        match fs::create_dir(root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        let lock = File::create(root.join(LOCK))?;
        match lock.try_lock() {
            Err(fs::TryLockError::WouldBlock) => bail!("another nervelightd keeps crops in it"),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
            Ok(()) => {}
        }
        sweep(root)?;
        atomic::sweep(root)?;
        let entries = list(root)?;
        let bytes = entries.iter().map(|entry| entry.bytes).sum();
        Ok(Self { root: root.into(), entries, bytes, lock })
    }

    /// Whether the folder is still the one that was opened: it may have been unplugged, or mounted over.
    pub fn is_there(&self) -> bool {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let found = fs::metadata(self.root.join(LOCK)).map(identity);
        matches!((found, self.lock.metadata().map(identity)), (Ok(found), Ok(own)) if found == own)
    }

    /// Whether an item could be written, after one could not.
    ///
    /// # Errors
    /// Why not.
    pub fn probe(&self) -> Result<()> {
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.root)?;
        file.write_all(&[0; PROBE])?;
        Ok(file.as_file().sync_all()?)
    }

    /// How many items, and how many bytes.
    pub fn holds(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.bytes)
    }

    /// Remembers the present case.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, note: &Note) -> Result<()> {
        let text = serde_json::to_vec(note)?;
        Ok(atomic::write(&self.root.join(NOTE), Access::Umask, &text)?)
    }

    /// Deletes until `bytes` more are within the `quota`: the oldest that nobody flagged first. What a person flagged gives
    /// way only to what another person flags.
    ///
    /// # Errors
    /// When an item cannot be deleted.
    pub fn make_room(&mut self, bytes: u64, quota: u64, is_flagged: bool) -> Result<Room> {
        let mut deleted = 0;
        while self.bytes.saturating_add(bytes) > quota {
            let automatic = self.entries.iter().position(|entry| !entry.is_flagged);
            let oldest = automatic.or((is_flagged && !self.entries.is_empty()).then_some(0));
            let Some(at) = oldest else { return Ok(Room { deleted, is_enough: false }) };
            let entry = self.entries.remove(at);
            self.bytes -= entry.bytes;
            delete(&entry.path).with_context(|| format!("{} cannot be deleted", entry.path.display()))?;
            deleted += 1;
        }
        Ok(Room { deleted, is_enough: true })
    }

    /// Puts an item into the folder.
    ///
    /// # Errors
    /// When it cannot be written; nothing of it is left then.
    pub fn put(&mut self, kept: &Kept, crop: &Picture, map: &Picture) -> Result<()> {
        let folder = self.root.join(&kept.item.case);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        let is_flagged = kept.item.why == Cause::Flagged;
        let kind = if is_flagged { FLAGGED } else { AUTOMATIC };
        let name = format!("{:010}-{kind}-{}", kept.at, kept.item.item);
        let (unfinished, path) = (folder.join(format!("{UNFINISHED}{name}")), folder.join(&name));
        let record = serde_json::to_vec_pretty(kept)?;
        let written = (|| -> io::Result<()> {
            fs::create_dir(&unfinished)?;
            for (name, bytes) in [(CROP, &crop.png), (MAP, &map.png), (RECORD, &record)] {
                let mut file = File::create_new(unfinished.join(name))?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            disk::sync(&unfinished)?;
            fs::rename(&unfinished, &path)?;
            disk::sync(&folder)
        })();
        if let Err(error) = written {
            // What cannot be removed either is swept at the next start.
            let _ = delete(&unfinished);
            return Err(error.into());
        }
        let bytes = (crop.png.len() + map.png.len() + record.len()) as u64;
        self.entries.push(Entry { at: kept.at, is_flagged, path, bytes });
        self.bytes += bytes;
        Ok(())
    }
}

/// The case that was noted in the folder last.
pub fn note(root: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(root.join(NOTE)).ok()?).ok()
}

/// How names say that somebody flagged an item, and that nobody did.
const FLAGGED: &str = "flag";
const AUTOMATIC: &str = "auto";

/// Every item in the folder, the oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(root: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = vec![];
    each(root, |path, name| {
        let Some((at, is_flagged)) = parse(name) else { return Ok(()) };
        // Without it, it is none.
        if path.join(RECORD).is_file() {
            let size = |file| path.join(file).metadata().map_or(0, |meta| meta.len());
            let bytes = FILES.into_iter().map(size).sum();
            entries.push(Entry { at, is_flagged, path: path.to_owned(), bytes });
        }
        Ok(())
    })?;
    entries.sort();
    Ok(entries)
}

/// Removes what power cuts left of items that were being written or deleted.
fn sweep(root: &Path) -> io::Result<()> {
    each(root, |path, name| {
        let of_unfinished = name.strip_prefix(UNFINISHED).and_then(parse);
        let is_left = parse(name).is_some() && !path.join(RECORD).exists();
        if of_unfinished.is_some() || is_left { delete(path) } else { Ok(()) }
    })
}

/// Shows every folder in a case's folder with its name.
fn each(root: &Path, mut show: impl FnMut(&Path, &str) -> io::Result<()>) -> io::Result<()> {
    for case in fs::read_dir(root)? {
        let case = case?;
        let is_case = case.file_name().to_str().is_some_and(is_name) && case.file_type()?.is_dir();
        if !is_case {
            continue;
        }
        for item in fs::read_dir(case.path())? {
            let item = item?;
            if let (Some(name), true) = (item.file_name().to_str(), item.file_type()?.is_dir()) {
                show(&item.path(), name)?;
            }
        }
    }
    Ok(())
}

/// When an item of this name was kept, and whether somebody flagged it; none if it is no item's.
fn parse(name: &str) -> Option<(u64, bool)> {
    let mut parts = name.splitn(3, '-');
    let at = parts.next()?;
    let kind = parts.next()?;
    let is_item = at.len() >= 10 && parts.next().is_some_and(is_name);
    (is_item && [FLAGGED, AUTOMATIC].contains(&kind)).then_some((at.parse().ok()?, kind == FLAGGED))
}

/// Whether it is a name of eight random bytes.
fn is_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Deletes an item, and its case's folder if it was the last. A folder with other files in it stays.
fn delete(path: &Path) -> io::Result<()> {
    for file in FILES {
        atomic::remove(&path.join(file))?;
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    if let Some(case) = path.parent() {
        // One that holds others stays.
        let _ = fs::remove_dir(case);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! One upload: the bytes that have come, and what was announced of them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nervelight_engines::digest::Digester;
use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};

use crate::lock::lock;
use crate::upload::UploadError;

/// Endings of an upload's files: its bytes, what was announced, and the bytes once they are handed over.
pub const BYTES: &str = "part";
pub const ABOUT: &str = "json";
pub const WHOLE: &str = "tar";

/// What was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Who may send it: the name of a token.
    pub owner: String,
    /// Bytes of the whole.
    pub bytes: u64,
    /// SHA-256 of the whole, in hexadecimal.
    pub sha256: String,
}

/// One upload.
#[derive(Debug)]
pub struct Part {
    /// Its name, which nobody can guess.
    pub id: String,
    /// What was announced.
    pub about: About,
    folder: PathBuf,
    offset: AtomicU64,
    /// Somebody writes it, or it is gone.
    is_taken: AtomicBool,
    /// The digest of the first so many bytes.
    digested: Mutex<(u64, Digester)>,
}

impl Part {
    /// Makes its files.
    pub fn begin(folder: &Path, id: &str, about: About) -> io::Result<Self> {
        let part = Self::new(folder, id, about, 0);
        let made =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(part.path(BYTES)).map(drop);
        let text = serde_json::to_vec(&part.about).map_err(io::Error::from);
        made.and(text).and_then(|text| atomic::write(&part.path(ABOUT), Access::Umask, &text)).inspect_err(
            |_| {
                remove(folder, id);
            },
        )?;
        Ok(part)
    }

    /// The upload `id` that a daemon before this one left; none if it cannot be gone on with.
    pub fn found(folder: &Path, id: &str) -> Option<Self> {
        let read = |ending: &str| folder.join(id).with_extension(ending);
        let about: About = serde_json::from_slice(&fs::read(read(ABOUT)).ok()?).ok()?;
        let offset = fs::symlink_metadata(read(BYTES)).ok().filter(|meta| meta.is_file())?.len();
        (offset <= about.bytes).then(|| Self::new(folder, id, about, offset))
    }

    fn new(folder: &Path, id: &str, about: About, offset: u64) -> Self {
        Self {
            id: id.into(),
            about,
            folder: folder.into(),
            offset: offset.into(),
            is_taken: false.into(),
            digested: Mutex::default(),
        }
    }

    /// Bytes that are there.
    pub fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// For how long nothing has come.
    pub fn idle(&self) -> Duration {
        let modified = fs::metadata(self.path(BYTES)).and_then(|meta| meta.modified());
        modified.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }

    /// Begins to write at byte `offset`. One at a time may.
    ///
    /// # Errors
    /// When another does, or so many bytes are not there.
    pub fn writer(self: &Arc<Self>, offset: u64) -> Result<PartWriter, UploadError> {
        if self.is_taken.swap(true, Ordering::Acquire) {
            return Err(UploadError::Busy(self.offset()));
        }
        // From here on it is given free again by the writer's end.
        let mut writer = PartWriter { part: self.clone(), file: None, is_over: false };
        if self.offset() != offset {
            return Err(UploadError::Offset(self.offset()));
        }
        let opened = OpenOptions::new().read(true).write(true).open(self.path(BYTES));
        writer.file = Some(opened.map_err(UploadError::Disk)?);
        Ok(writer)
    }

    /// Removes its files, for ever; false when somebody is writing.
    pub fn remove(&self) -> bool {
        let is_free = !self.is_taken.swap(true, Ordering::Acquire);
        if is_free {
            remove(&self.folder, &self.id);
        }
        is_free
    }

    /// Takes back the file that was handed over.
    pub fn take_back(&self, path: &Path) -> io::Result<()> {
        fs::rename(path, self.path(BYTES))?;
        let text = serde_json::to_vec(&self.about)?;
        atomic::write(&self.path(ABOUT), Access::Umask, &text)?;
        self.is_taken.store(false, Ordering::Release);
        Ok(())
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(&self.id).with_extension(ending)
    }
}

/// Removes the files of an upload.
pub fn remove(folder: &Path, id: &str) {
    for ending in [BYTES, ABOUT] {
        if let Err(error) = atomic::remove(&folder.join(id).with_extension(ending)) {
            tracing::warn!(%error, "an upload cannot be removed");
        }
    }
}

/// Writes the next bytes of an upload. It may block: never where others wait.
#[derive(Debug)]
pub struct PartWriter {
    part: Arc<Part>,
    file: Option<File>,
    /// Nobody writes it again.
    is_over: bool,
}

impl PartWriter {
    /// Writes `bytes` behind those that are there.
    ///
    /// # Errors
    /// When they go over the announced end: none of them is then written. When the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let offset = self.part.offset();
        if bytes.len() as u64 > self.part.about.bytes - offset {
            return Err(UploadError::More(self.part.about.bytes));
        }
        self.digest_up_to(offset).map_err(UploadError::Disk)?;
        self.file().and_then(|file| file.write_all_at(bytes, offset)).map_err(UploadError::Disk)?;
        let end = offset + bytes.len() as u64;
        let mut digested = lock(&self.part.digested);
        digested.1.update(bytes);
        digested.0 = end;
        self.part.offset.store(end, Ordering::Relaxed);
        Ok(())
    }

    /// Brings what was written to the disk, a piece at a time: nothing else waits long for it then.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), UploadError> {
        self.file().and_then(File::sync_data).map_err(UploadError::Disk)
    }

    /// The digest of all that is there.
    pub fn digest(&self) -> io::Result<String> {
        self.digest_up_to(self.part.offset())?;
        Ok(lock(&self.part.digested).1.hex())
    }

    /// Makes the bytes a file that is no upload any more.
    pub fn hand_over(mut self) -> io::Result<PathBuf> {
        self.file()?.sync_all()?;
        let whole = self.part.path(WHOLE);
        fs::rename(self.part.path(BYTES), &whole)?;
        atomic::remove(&self.part.path(ABOUT))?;
        self.is_over = true;
        Ok(whole)
    }

    /// Reads what a daemon before this one wrote, and a piece that was written only in part.
    fn digest_up_to(&self, offset: u64) -> io::Result<()> {
        let mut digested = lock(&self.part.digested);
        let mut buffer = vec![0; if digested.0 < offset { 1 << 20 } else { 0 }];
        while digested.0 < offset {
            let most = ((offset - digested.0) as usize).min(buffer.len());
            let count = self.file()?.read_at(&mut buffer[..most], digested.0)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            digested.1.update(&buffer[..count]);
            digested.0 += count as u64;
        }
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.is_over {
            self.part.is_taken.store(false, Ordering::Release);
        }
    }
}

//! The file system, as far as what is kept depends on it. Everything that must survive a power cut is done through these
//! few functions, so that this crate's own tests can put a file system behind them that forgets what was not synced.

// In tests a file is one of two kinds.
#![allow(clippy::useless_conversion)]

#[cfg(test)]
pub(crate) mod simulated;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

#[cfg(test)]
pub use simulated::File;
#[cfg(not(test))]
pub use std::fs::File;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, a FIFO, a device.
    Other,
}

impl From<fs::FileType> for Kind {
    fn from(kind: fs::FileType) -> Self {
        match kind {
            kind if kind.is_file() => Self::File,
            kind if kind.is_dir() => Self::Folder,
            _ => Self::Other,
        }
    }
}

/// Does it on the simulated disk instead, where a test has one.
macro_rules! or_simulated {
    ($($call:tt)*) => {
        #[cfg(test)]
        if simulated::is_on() {
            return simulated::$($call)*;
        }
    };
}

/// What is at `path`; a link is not followed.
///
/// # Errors
/// When there is nothing, or it cannot be looked at.
pub fn kind(path: &Path) -> io::Result<Kind> {
    or_simulated!(kind(path));
    Ok(fs::symlink_metadata(path)?.file_type().into())
}

/// The same behind links.
///
/// # Errors
/// The errors of [`kind`].
pub fn kind_behind(path: &Path) -> io::Result<Kind> {
    or_simulated!(kind(path));
    Ok(fs::metadata(path)?.file_type().into())
}

/// Opens a file to read it, or to sync it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    or_simulated!(open(path));
    fs::File::open(path).map(File::from)
}

/// Makes a file that is not there yet, for everybody to read whom the umask lets.
///
/// # Errors
/// When there is one, or the disk refuses.
pub fn create_new(path: &Path) -> io::Result<File> {
    or_simulated!(create_new(path));
    fs::File::create_new(path).map(File::from)
}

/// What is in a folder.
///
/// # Errors
/// When it cannot be read.
pub fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
    or_simulated!(entries(folder));
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.path(), entry.file_type()?.into()))
        })
        .collect()
}

/// Makes a folder, and those that it is in.
///
/// # Errors
/// When the disk refuses.
pub fn create_folders(path: &Path) -> io::Result<()> {
    or_simulated!(create_folders(path));
    fs::create_dir_all(path)
}

/// Gives a file or folder another name on the same file system.
///
/// # Errors
/// When the disk refuses; it has the old name then.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    or_simulated!(rename(from, to));
    fs::rename(from, to)
}

/// Removes a file.
///
/// # Errors
/// When there is none, or the disk refuses.
pub fn remove_file(path: &Path) -> io::Result<()> {
    or_simulated!(remove_file(path));
    fs::remove_file(path)
}

/// Removes a folder with all that is in it.
///
/// # Errors
/// When there is none, or the disk refuses; some of it may be gone then.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    or_simulated!(remove_folder(path));
    fs::remove_dir_all(path)
}

/// Makes what was made, renamed or removed in `folder` outlive a power cut.
///
/// # Errors
/// When the disk refuses.
pub fn sync(folder: &Path) -> io::Result<()> {
    or_simulated!(sync(folder));
    fs::File::open(folder)?.sync_all()
}

/// Bytes that this process may still write at `path`.
///
/// # Errors
/// When the system does not say.
pub fn free(path: &Path) -> io::Result<u64> {
    or_simulated!(free());
    let of = rustix::fs::statvfs(path)?;
    Ok(of.f_bavail.saturating_mul(of.f_frsize))
}

/// When the file or folder was last written.
///
/// # Errors
/// When it cannot be looked at.
pub fn modified(path: &Path) -> io::Result<SystemTime> {
    or_simulated!(modified(path));
    fs::metadata(path)?.modified()
}

/// Sets who may read and write a file.
///
/// # Errors
/// When it is somebody else's.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    or_simulated!(set_mode(file));
    #[cfg(test)]
    let file = file.real();
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Whether an open file is a regular one.
///
/// # Errors
/// When it cannot be looked at.
pub fn is_regular(file: &File) -> io::Result<bool> {
    or_simulated!(is_regular(file));
    #[cfg(test)]
    let file = file.real();
    Ok(file.metadata()?.is_file())
}

/// Locks the file at `path`, which is made if need be; none where another process has it. The lock goes with the file that
/// is returned, or with the process.
///
/// # Errors
/// When the disk refuses.
pub fn lock(path: &Path) -> io::Result<Option<fs::File>> {
    or_simulated!(lock());
    let file = match fs::File::create_new(path) {
        // Whoever made it, another user's process can lock it: reading is enough for that.
        Ok(file) => file.set_permissions(fs::Permissions::from_mode(0o644)).map(|()| file)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::File::open(path)?,
        Err(e) => return Err(e),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

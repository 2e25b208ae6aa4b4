//! Unpacking of tars that may come from anywhere: nothing of an entry counts but its name and its bytes, and nothing is
//! made, read or held in memory without a limit.

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::path::{Component, Path, PathBuf};

use crate::store::disk;

/// What a tar may hold, at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Entries, whatever they are.
    pub entries: usize,
    /// Bytes of a name.
    pub name: u64,
    /// Folders within each other, with the file in the innermost.
    pub depth: usize,
}

/// Why a tar was not unpacked. Never quotes the content: it may be any file.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Something else, or only the beginning of a tar.
    #[error("it is not a whole tar")]
    NotWhole,
    /// More than [`Limits::entries`].
    #[error("it has more than {0} entries")]
    Entries(usize),
    /// More than [`Limits::name`].
    #[error("an entry's name takes {0} bytes")]
    Name(u64),
    /// More than [`Limits::depth`].
    #[error("it has a folder in more than {0} others")]
    Depth(usize),
    /// More than [`Limits::bytes`] or [`Limits::file`].
    #[error("it holds more than {} bytes, or a file of more than {}", .0.bytes, .0.file)]
    Size(Limits),
    /// An absolute name, or one with `..`.
    #[error("{0:?} leaves it")]
    Leaves(PathBuf),
    /// Only files and folders are unpacked.
    #[error("{0:?} is a link, sparse or no regular file")]
    Irregular(PathBuf),
    /// Of two equal names the second would replace the first.
    #[error("{0:?} is there twice")]
    Twice(PathBuf),
    /// The disk.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for UnpackError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The reader's own words quote the header.
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::NotWhole
            }
            _ => Self::Io(error),
        }
    }
}

/// Looks at every entry of the tar at `path`, and unpacks nothing.
///
/// # Errors
/// When the tar is damaged, holds more than `limits` or anything but files and folders.
pub fn examine(path: &Path, limits: &Limits) -> Result<(), UnpackError> {
    // What the reader would hold in memory is looked at first: names that are entries of their own.
    let mut archive = tar::Archive::new(BufReader::new(disk::open(path)?));
    for (number, entry) in archive.entries_with_seek()?.raw(true).enumerate() {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let is_name = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
        if is_name && entry.size() > limits.name {
            return Err(UnpackError::Name(entry.size()));
        }
        if !(is_name || kind.is_file() || kind.is_dir() || kind.is_pax_global_extensions()) {
            return Err(UnpackError::Irregular(entry.path()?.into_owned()));
        }
        if number >= limits.entries {
            return Err(UnpackError::Entries(limits.entries));
        }
    }
    let mut archive = tar::Archive::new(BufReader::new(disk::open(path)?));
    let (mut places, mut total) = (BTreeSet::new(), 0u64);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        let below = below(&name, limits)?;
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(UnpackError::Irregular(name));
        }
        let size = entry.size();
        total = total.saturating_add(size);
        if total > limits.bytes || size > limits.file {
            return Err(UnpackError::Size(*limits));
        }
        if !places.insert(below) {
            return Err(UnpackError::Twice(name));
        }
    }
    Ok(())
}

/// Unpacks the tar at `path` into `directory`, which is there and empty, once every entry was found good. What a failure
/// leaves in it is the caller's to remove.
///
/// # Errors
/// The errors of [`examine`], and when the disk refuses.
pub fn unpack(path: &Path, directory: &Path, limits: &Limits) -> Result<(), UnpackError> {
    examine(path, limits)?;
    let mut archive = tar::Archive::new(BufReader::new(disk::open(path)?));
    let mut left = limits.bytes;
    for entry in archive.entries()? {
        let entry = entry?;
        // A tar that changes meanwhile is held to the same.
        let name = entry.path()?.into_owned();
        let below = below(&name, limits)?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(UnpackError::Irregular(name));
        }
        let size = entry.size();
        left = left.checked_sub(size).ok_or(UnpackError::Size(*limits))?;
        let place = directory.join(below);
        disk::create_folders(place.parent().unwrap_or(directory))?;
        let copied = io::copy(&mut io::Read::take(entry, size), &mut disk::create_new(&place)?)?;
        if copied != size {
            return Err(UnpackError::NotWhole);
        }
    }
    Ok(())
}

/// The place of an entry below the directory. `.` on the way, as in a tar of a folder, changes nothing.
fn below(name: &Path, limits: &Limits) -> Result<PathBuf, UnpackError> {
    let parts: Vec<Component> = name.components().filter(|c| *c != Component::CurDir).collect();
    if !parts.iter().all(|c| matches!(c, Component::Normal(_))) {
        return Err(UnpackError::Leaves(name.into()));
    }
    let length = name.as_os_str().len() as u64;
    if length > limits.name {
        return Err(UnpackError::Name(length));
    }
    if parts.len() > limits.depth {
        return Err(UnpackError::Depth(limits.depth));
    }
    Ok(parts.iter().map(|part| part.as_os_str()).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    const LIMITS: Limits = Limits { bytes: 10, file: 6, entries: 3, name: 120, depth: 2 };

    /// What becomes of a tar of these files; the names that were unpacked.
    fn unpacked(files: &[(&str, &str)]) -> Result<Vec<(PathBuf, String)>, UnpackError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.finish().unwrap();
        let into = directory.path().join("into");
        fs::create_dir(&into).unwrap();
        unpack(&path, &into, &LIMITS)?;
        let read = |name: &&str| (PathBuf::from(name), fs::read_to_string(into.join(name)).unwrap());
        Ok(files.iter().map(|(name, _)| name).map(read).collect())
    }

    #[test]
    fn what_is_at_the_limits_is_unpacked() {
        let files = [("a", "123456"), ("b/c", "1234"), ("d", "")];
        let found = unpacked(&files).unwrap();
        assert!(found.iter().zip(files).all(|(a, b)| (a.0.to_str(), &*a.1) == (Some(b.0), b.1)), "{found:?}");
    }

    #[test]
    fn one_more_than_a_limit_is_refused() {
        let long = "n".repeat(121);
        for (files, expected) in [
            (&[("a", "1234567")][..], "a file of more than 6"),
            (&[("a", "123456"), ("b", "12345")], "more than 10 bytes"),
            (&[("a", ""), ("b", ""), ("c", ""), ("d", "")], "more than 3 entries"),
            (&[("a/b/c", "")], "a folder in more than 2 others"),
            (&[(long.as_str(), "")], "name takes 12"),
            (&[("a", "1"), ("a", "2")], "there twice"),
        ] {
            let error = unpacked(files).unwrap_err().to_string();
            assert!(error.contains(expected), "{files:?}: {error}");
        }
    }
}

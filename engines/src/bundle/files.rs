//! Files of a bundle, which may come from anywhere: nothing is followed, waited for or read without a limit.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path};

use tempfile::TempDir;

/// Bytes of a manifest, at most.
pub const LARGEST_MANIFEST: u64 = 16 << 20;
/// Bytes that a tar may unpack to; the widest network's files take 250 MB.
const LARGEST: u64 = 4 << 30;
/// Entries of a tar, at most.
const MOST_ENTRIES: usize = 10_000;

/// Reads the file `name` under `root`, up to one byte more than `expected`.
///
/// # Errors
/// `InvalidInput` when it, or a folder on the way to it, is a link or no regular file; what the system says otherwise.
pub fn read(root: &Path, name: &str, expected: u64) -> io::Result<Vec<u8>> {
    let irregular = || io::Error::from(io::ErrorKind::InvalidInput);
    let mut path = root.to_path_buf();
    let mut parts = Path::new(name).components().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let kind = fs::symlink_metadata(&path)?.file_type();
        if !(if parts.peek().is_some() { kind.is_dir() } else { kind.is_file() }) {
            return Err(irregular());
        }
    }
    let file = fs::File::open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(irregular());
    }
    let mut bytes = Vec::new();
    file.take(expected.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file under `root` that `listed` does not know.
///
/// # Errors
/// When a folder cannot be read.
pub fn unlisted(root: &Path, listed: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() {
                folders.push(name);
            } else if !listed(&name) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// Unpacks the tar at `path` into a folder of its own.
///
/// # Errors
/// The reason, without the file's content: it may be any file.
pub fn unpack(path: &Path) -> Result<TempDir, String> {
    let fail = |e: io::Error| match e.kind() {
        // The reader's own words quote the header.
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            "it is not a whole tar".to_owned()
        }
        _ => e.to_string(),
    };
    let directory = tempfile::Builder::new().prefix("nervelight-bundle-").tempdir().map_err(fail)?;
    let file = fs::File::open(path).map_err(fail)?;
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    let (mut names, mut total) = (BTreeSet::new(), 0u64);
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let name = entry.path().map_err(fail)?.into_owned();
        let kind = entry.header().entry_type();
        // `.` on the way, as in a tar of a folder, changes nothing.
        let plain = name.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !plain {
            return Err(format!("{name:?} leaves it"));
        }
        if !kind.is_file() && !kind.is_dir() {
            return Err(format!("{name:?} is a link or no regular file"));
        }
        total = total.saturating_add(entry.size());
        if total > LARGEST || names.len() >= MOST_ENTRIES {
            return Err(format!("it holds more than {LARGEST} bytes or {MOST_ENTRIES} files"));
        }
        if kind.is_file() && !names.insert(name.clone()) {
            return Err(format!("{name:?} is there twice"));
        }
        entry.unpack_in(directory.path()).map_err(fail)?;
    }
    Ok(directory)
}

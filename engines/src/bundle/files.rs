//! Files of a bundle, which may come from anywhere: nothing is followed, waited for or read without a limit.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::store::disk::{self, Kind};
use crate::store::unpack::Limits;

/// Bytes of a manifest, at most.
pub const LARGEST_MANIFEST: u64 = 16 << 20;
/// Of a bundle, which may come from anywhere. A file is read whole; the widest network's largest takes 74 MB.
pub const LIMITS: Limits = Limits { bytes: 1 << 31, file: 1 << 29, entries: 10_000, name: 4096, depth: 8 };

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
        let expected = if parts.peek().is_some() { Kind::Folder } else { Kind::File };
        if disk::kind(&path)? != expected {
            return Err(irregular());
        }
    }
    let file = disk::open(&path)?;
    if !disk::is_regular(&file)? {
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
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for (path, kind) in disk::entries(&folder)? {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if kind == Kind::Folder {
                folders.push(path);
            } else if !listed(&name) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// Where the bundle begins in an unpacked tar: in its one folder, where the folder was packed and not what is in it.
pub fn root(unpacked: &Path) -> PathBuf {
    match disk::entries(unpacked).as_deref() {
        Ok([(folder, Kind::Folder)]) => folder.clone(),
        _ => unpacked.into(),
    }
}

/// The name of a tar's entry that lies in the bundle's root, which [`root`] will find there or in one folder.
pub fn in_root(name: &Path) -> Option<&str> {
    let parts: Vec<_> = name.components().filter(|part| *part != Component::CurDir).collect();
    match parts[..] {
        [Component::Normal(name)] | [Component::Normal(_), Component::Normal(name)] => name.to_str(),
        _ => None,
    }
}

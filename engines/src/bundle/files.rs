//! Files of a bundle, which may come from anywhere: nothing is followed, waited for or read without a limit.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

/// Bytes of a manifest, at most.
pub const LARGEST_MANIFEST: u64 = 16 << 20;
/// Bytes of any other file, which is read whole; the widest network's largest takes 74 MB.
pub const LARGEST_FILE: u64 = 1 << 29;
/// Bytes that a tar may unpack to.
const LARGEST: u64 = 1 << 31;
/// Entries of a tar, at most.
const MOST_ENTRIES: usize = 10_000;
/// Bytes of a name in a tar, and folders in each other.
const LARGEST_NAME: u64 = 4096;
const DEEPEST: usize = 8;

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

/// Where the bundle begins in an unpacked tar: in its one folder, where the folder was packed and not what is in it.
pub fn root(unpacked: &Path) -> PathBuf {
    let entries: Vec<PathBuf> =
        fs::read_dir(unpacked).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    match &entries[..] {
        [folder] if folder.is_dir() => folder.clone(),
        _ => unpacked.into(),
    }
}

/// Unpacks the tar at `path` into a folder of its own. Nothing of an entry counts but its name and its bytes.
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
    let open = || fs::File::open(path).map(io::BufReader::new).map_err(fail);
    // First what the reader would hold in memory: names that are entries of their own.
    let mut archive = tar::Archive::new(open()?);
    for (number, entry) in archive.entries_with_seek().map_err(fail)?.raw(true).enumerate() {
        let entry = entry.map_err(fail)?;
        let kind = entry.header().entry_type();
        if !kind.is_file() && !kind.is_dir() && entry.size() > LARGEST_NAME {
            return Err(format!("an entry's name takes {} bytes", entry.size()));
        }
        if number >= MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} entries"));
        }
    }
    let directory = tempfile::Builder::new().prefix("nervelight-bundle-").tempdir().map_err(fail)?;
    let mut archive = tar::Archive::new(open()?);
    let (mut names, mut total) = (BTreeSet::new(), 0u64);
    for entry in archive.entries().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.path().map_err(fail)?.into_owned();
        let kind = entry.header().entry_type();
        // `.` on the way, as in a tar of a folder, changes nothing.
        let parts: Vec<Component> = name.components().filter(|c| *c != Component::CurDir).collect();
        if !parts.iter().all(|c| matches!(c, Component::Normal(_))) {
            return Err(format!("{name:?} leaves it"));
        }
        if parts.len() > DEEPEST || name.as_os_str().len() as u64 > LARGEST_NAME {
            return Err(format!("it has a folder in more than {DEEPEST} others"));
        }
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(format!("{name:?} is a link or no regular file"));
        }
        total = total.saturating_add(entry.size());
        if total > LARGEST || entry.size() > LARGEST_FILE {
            return Err(format!("it holds more than {LARGEST} bytes, or a file of more than {LARGEST_FILE}"));
        }
        let place: PathBuf = std::iter::once(directory.path().as_os_str())
            .chain(parts.iter().map(|part| part.as_os_str()))
            .collect();
        if !names.insert(place.clone()) {
            return Err(format!("{name:?} is there twice"));
        }
        fs::create_dir_all(place.parent().unwrap_or(directory.path())).map_err(fail)?;
        let mut file = fs::File::create_new(&place).map_err(fail)?;
        let size = entry.size();
        let copied = io::copy(&mut entry.take(size), &mut file).map_err(fail)?;
        if copied != size {
            return Err("it is not a whole tar".into());
        }
    }
    Ok(directory)
}

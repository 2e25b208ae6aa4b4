//! Writes a file whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// Replaces `path` by `bytes`: temporary name, fsync, rename, fsync of the directory. A failure
/// leaves no temporary file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let replace = || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    replace().inspect_err(|_| {
        // On a full disk, half a file would keep the space that the user must find.
        let _ = std::fs::remove_file(&temporary);
    })?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        write_atomically(&path, b"old").unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join("config.toml.tmp")).unwrap();
        let error = write_atomically(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

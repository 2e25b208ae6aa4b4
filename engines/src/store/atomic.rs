//! The one atomic writer: a power cut at any instant leaves the old file or the new one.
//!
//! A file is written under a temporary name in its own directory, synced and renamed; then the directory is synced.
//! A failure leaves the old file as it was, and nothing beside it.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::disk::{self, File};

pub use super::disk::sync;

/// Beginning of the names of files that are being written.
const UNFINISHED: &str = ".new-";
/// No file takes longer to write.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever the umask lets, as with [`File::create`].
    Umask,
    /// Everybody, whatever the umask says: what one user writes another one's process reads.
    Everybody,
}

/// Replaces the file at `path` by `bytes`.
///
/// # Errors
/// When the directory or the disk refuses; the old file is then untouched.
pub fn write(path: &Path, access: Access, bytes: &[u8]) -> io::Result<()> {
    write_with(path, access, |file| file.write_all(bytes))
}

/// Replaces the file at `path` by what `fill` writes.
///
/// # Errors
/// What `fill` returns, and the errors of [`write`].
pub fn write_with(
    path: &Path,
    access: Access,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let directory = directory(path);
    let temporary = tempfile::Builder::new().prefix(UNFINISHED).make_in(directory, disk::create_new)?;
    // It removes itself on every way out but the last.
    let (mut file, temporary) = temporary.into_parts();
    fill(&mut file)?;
    if access == Access::Everybody {
        disk::set_mode(&file, 0o644)?;
    }
    file.sync_all()?;
    disk::rename(&temporary, path)?;
    // It has another name now.
    let _ = temporary.keep();
    disk::sync(directory)
}

/// The directory that `path` lies in.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes from `directory` what power cuts left of files that were being written. One that does not exist is clean.
///
/// # Errors
/// When one cannot be removed.
pub fn sweep(directory: &Path) -> io::Result<()> {
    for (path, _) in disk::entries(directory).unwrap_or_default() {
        // A file that is being written now looks the same, and is younger.
        let age = disk::modified(&path).ok().and_then(|at| at.elapsed().ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if age.is_some_and(|age| age > LEFT_BEHIND) && name.starts_with(UNFINISHED) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file that may be gone already.
///
/// # Errors
/// When it stays.
pub fn remove(path: &Path) -> io::Result<()> {
    match disk::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        write(&path, Access::Umask, b"old").unwrap();
        let full = |file: &mut disk::File| {
            file.write_all(b"half of the n")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let error = write_with(&path, Access::Umask, full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        // The rename fails, after everything was written: a file does not replace a directory.
        let occupied = directory.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        write(&occupied, Access::Umask, b"new").unwrap_err();
        fs::remove_dir(occupied).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
        write(&path, Access::Umask, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_what_it_names_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let (other, path) = (directory.path().join("other"), directory.path().join("report.json"));
        fs::write(&other, "kept").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        write(&path, Access::Umask, b"report").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"kept");
        assert_eq!(fs::read(&path).unwrap(), b"report");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn access_is_the_umasks_or_everybodys() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = |name: &str| directory.path().join(name);
        File::create(path("ordinary")).unwrap();
        write(&path("a"), Access::Umask, b"").unwrap();
        assert_eq!(mode(&path("a")), mode(&path("ordinary")));
        write(&path("b"), Access::Everybody, b"").unwrap();
        assert_eq!(mode(&path("b")), 0o644);
    }

    #[test]
    fn what_is_left_of_unfinished_files_is_swept_and_fresh_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (old, fresh) = (dir.path().join(".new-old"), dir.path().join(".new-fresh"));
        fs::write(&fresh, "").unwrap();
        let long_ago = SystemTime::now() - LEFT_BEHIND - Duration::from_secs(60);
        File::create(&old).unwrap().set_modified(long_ago).unwrap();
        sweep(dir.path()).unwrap();
        assert!(!old.exists() && fresh.exists());
        sweep(&dir.path().join("none")).unwrap();
    }
}

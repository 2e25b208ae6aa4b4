//! Whether a file can be written, and which one it is. `check`, `run` and the sinks ask the same, so that they agree.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

/// Whether the file that is there, if any, can be written over. It is not touched.
///
/// # Errors
/// When it cannot.
pub fn replace(path: &Path) -> Result<()> {
    if path.exists() {
        return OpenOptions::new().write(true).open(path).map(drop).with_context(|| unwritable(path));
    }
    create_beside(path)
}

/// Whether a file can be made in the folder of `path`. Nothing is left behind.
///
/// # Errors
/// When it cannot.
pub fn create_beside(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let made = tempfile::Builder::new().prefix(".nervelight-").tempfile_in(folder);
    // Its own message names the temporary file.
    made.map(drop).map_err(|error| anyhow!("{}: {}", unwritable(path), error.kind()))
}

/// Finds what is no file at `path`: a pipe would wait for its reader for ever.
///
/// # Errors
/// When something else than a file is there.
pub fn refuse_what_is_no_file(path: &Path) -> Result<()> {
    let Ok(file) = path.metadata() else { return Ok(()) };
    let (kind, path) = (file.file_type(), path.display());
    // /dev/null, /dev/full: they answer at once.
    let is_memory = kind.is_char_device() && file.rdev() >> 8 == 1;
    if kind.is_file() || is_memory {
        return Ok(());
    }
    let what = match () {
        () if kind.is_dir() => bail!("{path} is a folder. Name a file"),
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    bail!("{path} is no regular file, it is {what}. Choose another path")
}

/// Device and inode: a file's names may be many, this is one.
pub type Identity = (u64, u64);

/// Of what is at `path`, if anything is.
pub fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written. Check its folder, and that this user may write there", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written_is_told_from_what_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("old"), "old").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        assert!(replace(&path("old")).is_ok() && create_beside(&path("old")).is_ok());
        assert_eq!(std::fs::read(path("old")).unwrap(), b"old");
        assert_eq!(folder.path().read_dir().unwrap().count(), 2, "nothing is left behind");
        let twice = [0, 1].map(|_| create_beside(&path("absent/a")).unwrap_err().to_string());
        assert!(twice[0].contains("Check its folder"), "{twice:?}");
        assert_eq!(twice[0], twice[1], "who tries again says the same");
        let folder_said = refuse_what_is_no_file(&path("folder")).unwrap_err().to_string();
        assert!(folder_said.contains("is a folder"), "{folder_said}");
        let good = [path("old"), path("absent"), "/dev/full".into()];
        assert!(good.iter().all(|path| refuse_what_is_no_file(path).is_ok()));
    }
}

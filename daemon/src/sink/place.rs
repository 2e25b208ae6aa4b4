//! Where a recording is written: a name that nobody else has, and whether its file is still there.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};

use crate::sink::encode::Encoders;
use crate::writable::{Identity, create_beside, identity, refuse_what_is_no_file, replace};

/// The name of a recording, which is its own from the beginning.
pub struct Place {
    path: PathBuf,
    /// The file was not there before.
    is_made: bool,
    /// The file that is written.
    file: OnceLock<Identity>,
}

impl Place {
    /// The first of `path`, `path-1`, `path-2`, ... that does not exist is made, empty, so that nobody else takes it.
    /// With `overwrite` it is `path`, whatever is there, except for what this run has recorded.
    ///
    /// # Errors
    /// When the file cannot be written now.
    pub fn reserve(path: &Path, overwrite: bool, encoders: &Encoders) -> Result<Self> {
        for (n, path) in names(path).enumerate() {
            let is_first = encoders.begin(&path);
            // A link that leads nowhere is taken, too.
            let error = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Self::new(path, true)),
                Err(error) => error,
            };
            let is_taken = error.kind() == ErrorKind::AlreadyExists;
            let may_replace = overwrite && n == 0 && (is_first || !path.is_file());
            let writable = match is_taken {
                true if may_replace => refuse_what_is_no_file(&path).and_then(|()| replace(&path)),
                true => Ok(()),
                false => create_beside(&path).and(Err(error.into())),
            };
            if is_first && (!may_replace || writable.is_err()) {
                encoders.forget(&path);
            }
            writable?;
            if may_replace {
                return Ok(Self::new(path, false));
            }
        }
        Err(anyhow!("{} has no free number", path.display()))
    }

    fn new(path: PathBuf, is_made: bool) -> Self {
        Self { path, is_made, file: OnceLock::new() }
    }

    /// The file is open for writing from now on.
    pub fn note_file(&self) {
        if let Some(file) = identity(&self.path) {
            let _ = self.file.set(file);
        }
    }

    /// Whether the name still leads to the file that is written.
    pub fn is_kept(&self) -> bool {
        let now = identity(&self.path);
        now.is_some() && self.file.get().is_none_or(|file| now.as_ref() == Some(file))
    }

    /// The name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing was recorded. Removes the file, if this run made it: one that is tried again would fill the
    /// folder with empty ones.
    pub fn give_up(&self, encoders: &Encoders) {
        if self.is_made
            && self.path.symlink_metadata().is_ok_and(|kind| kind.is_file())
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an empty recording could not be removed");
        }
        encoders.forget(&self.path);
    }
}

fn names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let numbered = (1_u32..).map(move |n| {
        let name = format!("{}-{n}.{}", stem.to_string_lossy(), extension.to_string_lossy());
        path.with_file_name(name)
    });
    once(path.to_path_buf()).chain(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_gets_a_name_that_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.mp4"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", path("a-1.mp4")).unwrap();
        let encoders = Encoders::default();
        let reserve = |name: &str, overwrite| Place::reserve(&path(name), overwrite, &encoders).unwrap();
        let given = ["a.mp4", "a-2.mp4", "a.mp4"].map(|name| reserve(name, false).path);
        assert_eq!(given, ["a-2.mp4", "a-2-1.mp4", "a-3.mp4"].map(path));
        // What this run records is not replaced, what was there before is.
        assert_eq!(reserve("a-3.mp4", true).path, path("a-3-1.mp4"));
        assert_eq!(reserve("a.mp4", true).path, path("a.mp4"));
        assert_eq!(reserve("a.mp4", true).path, path("a-4.mp4"));
        assert!(path("nowhere").symlink_metadata().is_err());
    }

    #[test]
    fn only_what_this_run_made_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let encoders = Encoders::default();
        for (is_there, stays) in [(false, false), (true, true)] {
            if is_there {
                fs::write(&path, "old").unwrap();
            }
            Place::reserve(&path, true, &encoders).unwrap().give_up(&encoders);
            assert_eq!(path.exists(), stays);
        }
    }
}

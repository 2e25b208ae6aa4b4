//! Where a recording is written: a name that nobody else has, and whether its file is still there.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::iter::once;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};

use crate::sink::encode::Encoders;
use crate::sink::file::sidecar::path_of;
use crate::writable::{Identity, create_beside, identity, refuse_what_is_no_file, replace};

/// A number with more digits is none that a recording gets.
const DIGITS: usize = 9;

/// The name of a recording, which is its own from the beginning.
pub struct Place {
    path: PathBuf,
    /// The file was not there before.
    is_made: bool,
    /// The file that is written.
    file: OnceLock<Identity>,
    is_given_up: AtomicBool,
}

/// Which of `path`, `path-1`, `path-2`, ... a recording gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The first that is free.
    FirstFree,
    /// The one after the last that is taken: of files that are cut and deleted the number says the order.
    Last,
    /// `path`, whatever is there, except for what this run has recorded.
    Overwrite,
}

impl Place {
    /// Takes a name that is free for video and sidecar, by an empty file, so that nobody else takes it.
    ///
    /// # Errors
    /// When the file cannot be written now.
    pub fn reserve(path: &Path, naming: Naming, encoders: &Encoders) -> Result<Self> {
        let from = if naming == Naming::Last { next_number(path) } else { 0 };
        for (n, path) in names(path, from).enumerate() {
            let is_first = encoders.begin(&path);
            let may_replace = naming == Naming::Overwrite && n == 0 && (is_first || !path.is_file());
            // A link that leads nowhere is taken, too.
            let has_sidecar = !may_replace && path_of(&path).symlink_metadata().is_ok();
            let made = match has_sidecar {
                true => Err(ErrorKind::AlreadyExists.into()),
                false => OpenOptions::new().write(true).create_new(true).open(&path),
            };
            let error = match made {
                Ok(_) => return Ok(Self::new(path, true)),
                Err(error) => error,
            };
            let is_taken = error.kind() == ErrorKind::AlreadyExists;
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
        Self { path, is_made, file: OnceLock::new(), is_given_up: AtomicBool::new(false) }
    }

    /// Whether the file was not there before.
    pub fn is_made(&self) -> bool {
        self.is_made
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
        if self.is_given_up.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.is_made
            && self.path.symlink_metadata().is_ok_and(|kind| kind.is_file())
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an empty recording could not be removed");
        }
        encoders.forget(&self.path);
    }
}

fn names(path: &Path, from: u64) -> impl Iterator<Item = PathBuf> {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let numbered = (from.max(1)..10_u64.pow(DIGITS as u32)).map(move |n| {
        let name = format!("{}-{n}.{}", stem.to_string_lossy(), extension.to_string_lossy());
        path.with_file_name(name)
    });
    once(path.to_path_buf()).filter(move |_| from == 0).chain(numbered)
}

/// The number of `path` among the recordings of the sink at `sink`; none if no recording gets such a name.
pub fn number_of(sink: &Path, path: &Path) -> Option<u64> {
    if path.file_name()? == sink.file_name()? {
        return Some(0);
    }
    let (stem, first) = (path.file_stem()?.to_str()?, sink.file_stem()?.to_str()?);
    let digits = stem.strip_prefix(first)?.strip_prefix('-')?;
    let is_given = path.extension()? == sink.extension()?
        && (1..=DIGITS).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_given.then(|| digits.parse().ok())?
}

/// The folder of a file.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// One more than the last recording or sidecar has.
fn next_number(sink: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder_of(sink)) else { return 0 };
    let number = |path: PathBuf| match path.extension().is_some_and(|e| e == "jsonl") {
        true => number_of(sink, &path.with_extension("")),
        false => number_of(sink, &path),
    };
    entries.flatten().filter_map(|entry| number(entry.path())).max().map_or(0, |last| last + 1)
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
        let reserve = |name: &str, naming| Place::reserve(&path(name), naming, &encoders).unwrap();
        let given = ["a.mp4", "a-2.mp4", "a.mp4"].map(|name| reserve(name, Naming::FirstFree).path);
        assert_eq!(given, ["a-2.mp4", "a-2-1.mp4", "a-3.mp4"].map(path));
        // What this run records is not replaced, what was there before is.
        assert_eq!(reserve("a-3.mp4", Naming::Overwrite).path, path("a-3-1.mp4"));
        assert_eq!(reserve("a.mp4", Naming::Overwrite).path, path("a.mp4"));
        assert_eq!(reserve("a.mp4", Naming::Overwrite).path, path("a-4.mp4"));
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
            Place::reserve(&path, Naming::Overwrite, &encoders).unwrap().give_up(&encoders);
            assert_eq!(path.exists(), stays);
        }
    }

    #[test]
    fn files_that_are_cut_are_numbered_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let encoders = Encoders::default();
        let next = || {
            let place = Place::reserve(&path("a.mp4"), Naming::Last, &encoders).unwrap();
            place.path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!([next(), next(), next()], ["a.mp4", "a-1.mp4", "a-2.mp4"]);
        ["a.mp4", "a-1.mp4"].iter().for_each(|name| fs::remove_file(path(name)).unwrap());
        assert_eq!(next(), "a-3.mp4", "a number is not given twice");
        // A sidecar without its video, and what is no recording of this sink.
        ["a-7.mp4.jsonl", "a-09.mp4", "a-x.mp4", "a-9.mkv", "b-9.mp4", "a-12345678901234567890.mp4"]
            .iter()
            .for_each(|name| fs::write(path(name), "").unwrap());
        assert_eq!(next(), "a-8.mp4");
    }
}

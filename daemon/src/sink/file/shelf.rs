//! The finished recordings of one sink, and how room is made: the oldest go first. A file belongs to the sink if its name
//! is one that this sink gives and its sidecar says so; nothing else is ever deleted.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::config::FileSettings;
use crate::sink::SinkStatus;
use crate::sink::file::place::{folder_of, number_of};
use crate::sink::file::sidecar::{self, path_of};

/// The recordings of a sink.
pub struct Shelf {
    path: PathBuf,
    quota: Option<u64>,
    keep_free: Option<u64>,
    /// The oldest first.
    finished: Vec<Kept>,
    /// Those that could not be deleted, which is said once.
    refused: HashSet<PathBuf>,
}

/// One of them, with its sidecar.
struct Kept {
    number: u64,
    path: PathBuf,
    bytes: u64,
}

impl Shelf {
    /// Of the sink with these settings; it has not looked yet.
    pub fn new(settings: &FileSettings) -> Self {
        let FileSettings { path, quota, keep_free, .. } = settings;
        let (finished, refused) = Default::default();
        Self { path: path.clone(), quota: *quota, keep_free: *keep_free, finished, refused }
    }

    /// What a recording and its sidecar take of the disk.
    pub fn size(video: &Path) -> u64 {
        let size = |path: &Path| {
            // What is not on the disk yet has a length and no blocks.
            path.symlink_metadata().map_or(0, |file| file.len().max(file.blocks() * 512))
        };
        size(video) + size(&path_of(video))
    }

    /// Looks which recordings are there, besides the one that is `written`.
    pub fn look(&mut self, written: Option<&Path>) {
        self.finished.clear();
        if self.quota.is_none() && self.keep_free.is_none() {
            return;
        }
        let Ok(entries) = fs::read_dir(folder_of(&self.path)) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if let Some(number) = number_of(&self.path, &path)
                && !self.refused.contains(&path)
                && written != Some(&path)
                && path.symlink_metadata().is_ok_and(|file| file.is_file())
                && is_finished(&path, &self.path)
            {
                let bytes = Self::size(&path);
                self.finished.push(Kept { number, path, bytes });
            }
        }
        self.finished.sort_by_key(|kept| kept.number);
    }

    /// Deletes the oldest until there is room for files that are `written` and will be so large.
    ///
    /// # Errors
    /// When the disk has less room than is to be kept free, and nothing is left to delete.
    pub fn make_room(&mut self, written: u64, status: &SinkStatus) -> Result<()> {
        let mut used: u64 = self.finished.iter().map(|kept| kept.bytes).sum();
        while self.quota.is_some_and(|quota| used.saturating_add(written) > quota)
            && !self.finished.is_empty()
        {
            used -= self.delete_oldest("quota_mb", status);
        }
        let Some(keep_free) = self.keep_free else { return Ok(()) };
        loop {
            let free = free(folder_of(&self.path))?;
            if free >= keep_free {
                return Ok(());
            }
            if self.finished.is_empty() {
                bail!(
                    "the disk of {} has {} MB of room, and keep_free_mb is {}. Free some space, or move the sink's path",
                    self.path.display(),
                    free / 1_000_000,
                    keep_free / 1_000_000
                );
            }
            self.delete_oldest("keep_free_mb", status);
        }
    }

    /// Returns its size.
    fn delete_oldest(&mut self, key: &str, status: &SinkStatus) -> u64 {
        let Kept { path, bytes, .. } = self.finished.remove(0);
        // It may have changed hands since the last look.
        if !is_finished(&path, &self.path) {
            return bytes;
        }
        // The video first: one without a sidecar would never be known as ours again.
        match fs::remove_file(&path).and_then(|()| fs::remove_file(path_of(&path))) {
            Ok(()) => {
                tracing::info!(path = %path.display(), megabytes = bytes / 1_000_000, key, "deleted the oldest recording");
                status.count_deleted(bytes);
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "an old recording cannot be deleted");
                self.refused.insert(path);
            }
        }
        bytes
    }
}

/// Whether `video` is a recording of the sink at `sink` that nobody writes.
fn is_finished(video: &Path, sink: &Path) -> bool {
    let name = sink.file_name().unwrap_or_default().to_string_lossy();
    let Some(sidecar) = sidecar::open_own(video, &name) else { return false };
    // Who writes it holds the lock; a file system without locks has one daemon, and that begins with the newest number.
    !matches!(sidecar.try_lock(), Err(fs::TryLockError::WouldBlock))
}

fn free(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder).with_context(|| format!("the disk of {}", folder.display()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::file::sidecar::{Header, Sidecar};

    struct Bench {
        folder: tempfile::TempDir,
        status: SinkStatus,
    }

    impl Bench {
        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// A recording of 100 kB of the sink `a.mp4`, or another; the sidecar is locked while it lives.
        fn record(&self, name: &str, sink: &str) -> Sidecar {
            fs::write(self.path(name), vec![1; 100_000]).unwrap();
            let header = Header::new(name.into(), sink.into());
            Sidecar::create(&self.path(name), false, &header).unwrap()
        }

        fn shelf(&self, quota: Option<u64>, keep_free: Option<u64>) -> Shelf {
            let settings = FileSettings { path: self.path("a.mp4"), quota, keep_free, ..Default::default() };
            let mut shelf = Shelf::new(&settings);
            shelf.look(Some(&self.path("a-12.mp4")));
            shelf
        }

        fn videos(&self) -> Vec<String> {
            let entries = self.folder.path().read_dir().unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut videos: Vec<_> = names.filter(|name| !name.ends_with(".jsonl")).collect();
            videos.sort();
            videos
        }
    }

    #[test]
    fn the_oldest_go_and_only_those_that_are_finished_and_the_sinks_own() {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), status: SinkStatus::new("file".into()) };
        for name in ["a.mp4", "a-2.mp4", "a-10.mp4", "a-11.mp4", "a-12.mp4"] {
            drop(bench.record(name, "a.mp4"));
        }
        let written = bench.record("a-1.mp4", "a.mp4");
        drop(bench.record("a-3.mp4", "b.mp4"));
        fs::write(bench.path("a-4.mp4"), "no sidecar").unwrap();
        let (renamed, link) = (bench.path("a-5.mp4"), bench.path("a-6.mp4"));
        drop(bench.record("old.mp4", "a.mp4"));
        fs::rename(bench.path("old.mp4"), &renamed).unwrap();
        fs::rename(bench.path("old.mp4.jsonl"), path_of(&renamed)).unwrap();
        std::os::unix::fs::symlink(bench.path("a-12.mp4"), link).unwrap();
        let make_room = |quota: u64, more: u64| bench.shelf(Some(quota), None).make_room(more, &bench.status);
        make_room(450_000, 0).unwrap();
        assert_eq!(bench.videos().len(), 10, "there is room");
        // Four have some 400 kB; the one that is written takes 100 more.
        make_room(450_000, 100_000).unwrap();
        let others = ["a-1.mp4", "a-12.mp4", "a-3.mp4", "a-4.mp4", "a-5.mp4", "a-6.mp4"];
        let with = |own: &[&str]| {
            let mut names: Vec<_> = others.iter().chain(own).map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(bench.videos(), with(&["a-2.mp4", "a-10.mp4", "a-11.mp4"]));
        assert!(!bench.path("a.mp4.jsonl").exists(), "its sidecar goes with it");
        make_room(250_000, 0).unwrap();
        assert_eq!(bench.videos(), with(&["a-10.mp4", "a-11.mp4"]), "2 is before 10");
        make_room(1, 0).unwrap();
        assert_eq!(bench.videos(), with(&[]), "nothing else is deleted, whatever the quota");
        drop(written);
        make_room(1, 0).unwrap();
        assert!(!bench.path("a-1.mp4").exists(), "what is finished may go");
        let recorded = bench.status.snapshot().recorded.unwrap();
        assert!(recorded.deleted == 5 && recorded.deleted_bytes >= 500_000, "{recorded:?}");
    }

    #[test]
    fn a_disk_without_the_room_that_is_to_be_kept_is_an_error_once_nothing_is_left_to_delete() {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), status: SinkStatus::new("file".into()) };
        drop(bench.record("a.mp4", "a.mp4"));
        bench.shelf(None, Some(1)).make_room(0, &bench.status).unwrap();
        assert_eq!(bench.videos(), ["a.mp4"]);
        let why = bench.shelf(None, Some(u64::MAX)).make_room(0, &bench.status).unwrap_err().to_string();
        assert!(why.contains("MB of room") && why.contains("Free some space"), "{why}");
        assert!(bench.videos().is_empty());
    }
}

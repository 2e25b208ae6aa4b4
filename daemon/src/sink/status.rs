//! A sink's figures: counted on the frame thread, read by everybody else.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;

use crate::lock::lock;
use crate::sink::feed::{Taken, Tell};

/// A sink's counters and why it failed, if it did. Nobody waits for anybody here.
#[derive(Debug)]
pub struct SinkStatus {
    name: String,
    /// Frames it took.
    frames: AtomicU64,
    /// Frames there was no room for, or that came after it had failed.
    busy: AtomicU64,
    /// Frames it took that are not in the recording.
    lost: AtomicU64,
    /// Of a recording that has begun a file.
    recorded: Mutex<Option<RecordedFiles>>,
    /// Frames whose capture time is not in the sidecar.
    without_time: AtomicU64,
    failure: OnceLock<String>,
    viewers: OnceLock<Arc<ViewerCounts>>,
}

/// Counters of a network sink's viewers.
#[derive(Debug, Default)]
pub struct ViewerCounts {
    watching: AtomicU64,
    joined: AtomicU64,
    refused: AtomicU64,
    frames: AtomicU64,
    dropped: AtomicU64,
}

/// What became of a network sink's viewers, since it was opened.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ViewerFigures {
    /// Viewers now.
    pub watching: u64,
    /// Viewers that came.
    pub joined: u64,
    /// Viewers that were refused: wrong credentials, or too many.
    pub refused: u64,
    /// Frames sent, to each viewer.
    pub frames: u64,
    /// Frames not sent to a viewer that could not take them.
    pub dropped: u64,
}

impl ViewerCounts {
    /// One comes.
    pub fn join(&self) {
        self.watching.fetch_add(1, Relaxed);
        self.joined.fetch_add(1, Relaxed);
    }

    /// One leaves, with `lost` frames on their way.
    pub fn leave(&self, lost: u64) {
        self.watching.fetch_sub(1, Relaxed);
        self.drop_frames(lost);
    }

    /// One is refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// One was sent a frame.
    pub fn send_frame(&self) {
        self.frames.fetch_add(1, Relaxed);
    }

    /// One was not sent these.
    pub fn drop_frames(&self, frames: u64) {
        self.dropped.fetch_add(frames, Relaxed);
    }

    /// The figures at this moment.
    pub fn snapshot(&self) -> ViewerFigures {
        let of = |count: &AtomicU64| count.load(Relaxed);
        ViewerFigures {
            watching: of(&self.watching),
            joined: of(&self.joined),
            refused: of(&self.refused),
            frames: of(&self.frames),
            dropped: of(&self.dropped),
        }
    }
}

/// What became of a sink.
#[derive(Debug, Clone, Serialize)]
pub struct OutputStatus {
    /// Kind and target.
    pub name: String,
    /// Frames it took; once a recording has ended, those that are in it.
    pub frames: u64,
    /// Frames it did not take or lost.
    pub dropped: u64,
    /// The same by reason.
    pub dropped_by: SinkDrops,
    /// The files of a recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedFiles>,
    /// Why it stopped, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Of a network sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewers: Option<ViewerFigures>,
}

/// Why frames are not in a sink.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct SinkDrops {
    /// The sink had no room, or had failed.
    pub busy: u64,
    /// A recording's encoder or muxer lost them; known once it has ended.
    pub recorder: u64,
}

impl SinkDrops {
    /// For whatever reason.
    pub fn sum(self) -> u64 {
        self.busy + self.recorder
    }
}

impl Add for SinkDrops {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { busy: self.busy + other.busy, recorder: self.recorder + other.recorder }
    }
}

/// The files of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordedFiles {
    /// Name of the newest.
    pub file: String,
    /// How many were begun.
    pub files: u64,
    /// How many were deleted to make room.
    pub deleted: u64,
    /// What these had taken of the disk.
    pub deleted_bytes: u64,
    /// Frames whose capture time is not in a sidecar.
    pub frames_without_time: u64,
}

impl RecordedFiles {
    /// The figures of earlier openings and of the present one, whose file is the newest.
    pub fn sum(before: Option<Self>, now: Option<Self>) -> Option<Self> {
        match (before, now) {
            (Some(before), Some(now)) => Some(Self {
                file: if now.file.is_empty() { before.file } else { now.file },
                files: before.files + now.files,
                deleted: before.deleted + now.deleted,
                deleted_bytes: before.deleted_bytes + now.deleted_bytes,
                frames_without_time: before.frames_without_time + now.frames_without_time,
            }),
            (before, now) => before.or(now),
        }
    }
}

impl SinkStatus {
    /// Everything at zero; `name` is kind and target.
    pub fn new(name: String) -> Self {
        let (frames, busy, lost, without_time) = Default::default();
        let (recorded, failure, viewers) = Default::default();
        Self { name, frames, busy, lost, recorded, without_time, failure, viewers }
    }

    /// The counters of its viewers, which it has from now on.
    pub fn viewers(&self) -> Arc<ViewerCounts> {
        self.viewers.get_or_init(Arc::default).clone()
    }

    /// Kind and target.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts what became of a frame.
    pub fn count(&self, taken: Taken) {
        match taken {
            Taken::Yes => self.frames.fetch_add(1, Relaxed),
            Taken::Busy | Taken::Failed => self.busy.fetch_add(1, Relaxed),
        };
    }

    /// Frames it took, whatever became of them.
    pub fn taken(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Says how many of the frames it took are not in the recording.
    pub fn lose(&self, frames: u64) {
        self.lost.store(frames, Relaxed);
    }

    /// A recording goes on in the file of this name.
    pub fn begin_file(&self, file: String) {
        self.record(|recorded| (recorded.file, recorded.files) = (file, recorded.files + 1));
    }

    /// An old file of so many bytes was deleted to make room.
    pub fn count_deleted(&self, bytes: u64) {
        self.record(|recorded| {
            (recorded.deleted, recorded.deleted_bytes) =
                (recorded.deleted + 1, recorded.deleted_bytes + bytes);
        });
    }

    /// Never on the frame thread.
    fn record(&self, change: impl FnOnce(&mut RecordedFiles)) {
        let mut recorded = lock(&self.recorded);
        change(recorded.get_or_insert_default());
    }

    /// The capture time of a frame is not in the sidecar.
    pub fn lose_time(&self) {
        self.without_time.fetch_add(1, Relaxed);
    }

    /// Says why it takes no more frames. The first reason stays.
    pub fn fail(&self, reason: String) {
        if self.failure.set(reason).is_ok() {
            let reason = self.failure.get().map_or("", String::as_str);
            tracing::error!(sink = %self.name, %reason, "sink failed; the video goes on without it");
        }
    }

    /// Hears of a pipeline's failure.
    pub fn listener(self: &Arc<Self>) -> Tell {
        let failing = self.clone();
        Box::new(move |reason| failing.fail(reason.into()))
    }

    /// Whether it takes no more frames.
    pub fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Why it takes no more frames, if so.
    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// The figures at this moment.
    pub fn snapshot(&self) -> OutputStatus {
        let drops = SinkDrops { busy: self.busy.load(Relaxed), recorder: self.lost.load(Relaxed) };
        let mut recorded = lock(&self.recorded).clone();
        if let Some(recorded) = &mut recorded {
            recorded.frames_without_time = self.without_time.load(Relaxed);
        }
        OutputStatus {
            name: self.name.clone(),
            frames: self.taken().saturating_sub(drops.recorder),
            dropped: drops.sum(),
            dropped_by: drops,
            recorded,
            failed: self.failure(),
            viewers: self.viewers.get().map(|viewers| viewers.snapshot()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_leave_under_the_names_that_readers_know() {
        let status = SinkStatus::new("file a.mp4".into());
        for taken in [Taken::Yes, Taken::Yes, Taken::Yes, Taken::Busy, Taken::Failed] {
            status.count(taken);
        }
        status.lose(1);
        let expected = serde_json::json!({
            "name": "file a.mp4", "frames": 2, "dropped": 3, "dropped_by": { "busy": 2, "recorder": 1 },
        });
        assert_eq!(serde_json::to_value(status.snapshot()).unwrap(), expected);
        status.fail("first".into());
        status.fail("second".into());
        assert_eq!(serde_json::to_value(status.snapshot()).unwrap()["failed"], "first");
    }
}

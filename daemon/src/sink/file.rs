//! Recordings: H.264 in MP4 or Matroska.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gst::prelude::*;
use gst_video::VideoInfo;

use crate::config;
use crate::pipeline::quoted;
use crate::sink::encode::Subscription;
use crate::sink::feed::Feed;
use crate::sink::{Shown, Sink, SinkContext, SinkError, SinkStatus, is_like};
use crate::writable::{create_beside, refuse_what_is_no_file, replace};

/// What a file begins its first pictures with: a fragment of an MP4, a cluster of Matroska.
const FIRST_PICTURES: [&[u8]; 2] = [b"moof", &[0x1f, 0x43, 0xb6, 0x75]];
/// Headers end long before.
const LONGEST_HEADER: u64 = 64 << 10;

/// Records frames to a file.
pub struct Recording {
    stream: Subscription,
    info: Arc<VideoInfo>,
    status: Arc<SinkStatus>,
    path: PathBuf,
    /// Frames that reached the muxer.
    muxed: Arc<AtomicU64>,
}

impl Recording {
    /// Begins a file; without `overwrite` under a name that is not taken.
    ///
    /// # Errors
    /// When a pipeline cannot be built, or the file not be written now.
    pub fn open(
        path: &Path,
        encoder: Option<&str>,
        overwrite: bool,
        info: &Arc<VideoInfo>,
        context: &SinkContext,
    ) -> Result<Self, SinkError> {
        // What this run has recorded is never replaced.
        let overwrite = overwrite && !(context.encoders.has_begun(path) && path.is_file());
        let path = if overwrite { path.to_path_buf() } else { free_path(path) };
        let name = config::Sink::File { path: path.clone(), encoder: None, overwrite }.to_string();
        let what = format!("sink {name}");
        let writable = refuse_what_is_no_file(&path).and_then(|()| match overwrite {
            true => replace(&path),
            false => create_beside(&path),
        });
        writable.map_err(|e| SinkError::Unavailable(e.context(what.clone())))?;
        let status = Arc::new(SinkStatus::new(name));
        let muxed = Arc::new(AtomicU64::new(0));
        let open = || {
            let failing = status.clone();
            let tell = Box::new(move |reason: &str| failing.fail(reason.into()));
            let prepare = |pipeline: &gst::Pipeline| prepare(pipeline, &muxed);
            Feed::open("file", &describe(&path), None, context, prepare, tell).map(Feed::of_units)
        };
        let stream = context.encoders.subscribe(encoder, info, context, status.clone(), open);
        let stream = stream.map_err(|error| {
            // With `overwrite` it may be somebody else's.
            if !overwrite {
                remove_if_empty(&path);
            }
            error.of(&what)
        })?;
        context.encoders.begin(&path);
        Ok(Self { stream, info: info.clone(), status, path, muxed })
    }
}

impl Sink for Recording {
    fn push(&mut self, shown: Shown<'_>) {
        if !shown.state.signal || self.status.has_failed() {
            return;
        }
        if !self.follow(shown.info) {
            return self.status.fail("the frames changed".into());
        }
        self.status.count(self.stream.push(shown.buffer));
    }

    fn follow(&mut self, info: &Arc<VideoInfo>) -> bool {
        Arc::ptr_eq(&self.info, info) || is_like(&self.info, info)
    }

    fn end(&mut self) {
        self.stream.end();
    }

    fn finish(&mut self, deadline: Instant) {
        self.stream.finish(deadline);
        let lost = self.status.taken().saturating_sub(self.muxed.load(Ordering::Relaxed));
        self.status.lose(lost);
        if self.status.has_failed() {
            remove_if_empty(&self.path);
        } else if !self.path.exists() {
            self.status.fail("its file was removed while it was written".into());
        } else if lost > 0 {
            tracing::warn!(sink = %self.status.name(), frames = lost, "its encoder or muxer dropped frames");
        }
    }

    fn status(&self) -> Arc<SinkStatus> {
        self.status.clone()
    }
}

/// The pipeline that writes encoded frames to `path`.
pub fn describe(path: &Path) -> String {
    let muxer = match path.extension().and_then(|e| e.to_str()) {
        Some("mkv") => "matroskamux name=muxer",
        // Every finished second is playable, whatever happens after.
        _ => "mp4mux name=muxer fragment-duration=1000 fragment-mode=first-moov-then-finalise",
    };
    let location = quoted(&path.display().to_string());
    format!("appsrc name=frames ! h264parse ! {muxer} ! filesink name=file location={location}")
}

fn prepare(pipeline: &gst::Pipeline, muxed: &Arc<AtomicU64>) {
    if let Some(units) = pipeline.by_name("frames") {
        // A file is never live. An encoder's time line may begin anywhere, B-frames need that.
        units.set_property("is-live", false);
        units.set_property("handle-segment-change", true);
    }
    if let Some(muxer) = pipeline.by_name("muxer") {
        count(&muxer, muxed);
    }
}

/// Counts the frames that a muxer can write: those with a time.
fn count(muxer: &gst::Element, counter: &Arc<AtomicU64>) {
    for pad in muxer.sink_pads() {
        let counter = counter.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &probe.data
                && buffer.pts().is_some()
            {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// The first of `path`, `path-1`, `path-2`, ... that does not exist: recordings are never overwritten.
fn free_path(path: &Path) -> PathBuf {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let numbered = (1..).map(|n| {
        let name = format!("{}-{n}.{}", stem.to_string_lossy(), extension.to_string_lossy());
        path.with_file_name(name)
    });
    std::iter::once(path.to_path_buf())
        .chain(numbered)
        .find(|p| p.symlink_metadata().is_err())
        .unwrap_or_else(|| path.into())
}

/// Removes a recording that holds not a single frame: one that is tried again would fill the folder with them.
fn remove_if_empty(path: &Path) {
    let is_file = path.symlink_metadata().is_ok_and(|kind| kind.is_file());
    if is_file
        && !holds_pictures(path).unwrap_or(true)
        && let Err(error) = fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "an empty recording could not be removed");
    }
}

fn holds_pictures(path: &Path) -> std::io::Result<bool> {
    let mut start = vec![];
    fs::File::open(path)?.take(LONGEST_HEADER).read_to_end(&mut start)?;
    let holds = |mark: &&[u8]| start.windows(mark.len()).any(|bytes| bytes == *mark);
    Ok(FIRST_PICTURES.iter().any(holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_header_only_holds_no_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mp4: &[u8] = b"\0\0\0\x08ftyp\0\0\0\x08moov";
        let mkv: &[u8] = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67";
        for (header, pictures) in [(mp4, FIRST_PICTURES[0]), (mkv, FIRST_PICTURES[1])] {
            for (bytes, stays) in
                [(vec![], false), (header.to_vec(), false), ([header, pictures].concat(), true)]
            {
                fs::write(&path, &bytes).unwrap();
                remove_if_empty(&path);
                assert_eq!(path.exists(), stays, "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_recording_gets_a_name_that_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.mp4"), "").unwrap();
        fs::write(path("a-1.mp4"), "").unwrap();
        assert_eq!(free_path(&path("a.mp4")), path("a-2.mp4"));
    }
}

//! The sidecar of a recorded file: where its pictures come from, as JSON lines. A line is written before its frame, so that
//! no frame that plays is without its line, whatever ends the daemon. `docs/streams.md` describes the lines.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::frame::{Model, NerveSize, OverlayState, Sector, SignalState};
use crate::sink::file::note::FrameNote;

/// The form of the lines. Readers refuse what is newer.
const SCHEMA: u32 = 1;
/// A first line that is longer is none of ours.
const LONGEST: u64 = 64 * 1024;

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Recording(&'a Header),
    Region(RegionLine),
    Model(ModelLine<'a>),
    Ai(Change<OverlayState>),
    Signal(Change<SignalState>),
    Frame(FrameLine),
    End(EndLine),
}

/// The first line.
#[derive(Debug, Serialize)]
pub struct Header {
    schema: u32,
    program: &'static str,
    version: &'static str,
    /// Name of the file with the video.
    pub file: String,
    /// Name that the sink is configured with.
    pub sink: String,
    /// The file that this one follows without a gap.
    pub continues: Option<String>,
    /// UTC.
    begun: String,
    /// The source, without credentials.
    pub source: String,
    /// Size, format, colorimetry and rate.
    pub frames: String,
}

impl Header {
    /// Of a file that begins now.
    pub fn new(file: String, sink: String) -> Self {
        let begun =
            jiff::Timestamp::try_from(SystemTime::now()).map_or_else(|_| String::new(), |t| t.to_string());
        let (program, version) = ("nervelightd", env!("CARGO_PKG_VERSION"));
        let (source, frames, continues) = Default::default();
        Self { schema: SCHEMA, program, version, file, sink, continues, begun, source, frames }
    }
}

/// The part of the frames that the model sees, from here on.
#[derive(Serialize)]
struct RegionLine {
    pts_us: u64,
    #[serde(flatten)]
    region: Sector,
}

/// The model that masks come from, from here on.
#[derive(Serialize)]
struct ModelLine<'a> {
    pts_us: u64,
    time_us: u64,
    #[serde(flatten)]
    model: &'a Model,
}

/// A state that begins.
#[derive(Serialize)]
struct Change<T> {
    state: T,
    /// None where no frame says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pts_us: Option<u64>,
    time_us: u64,
}

/// A frame: its time in the file, and when it was captured.
#[derive(Serialize)]
struct FrameLine {
    pts_us: u64,
    /// None where that was lost.
    time_us: Option<u64>,
    /// Of the nerve on it, where it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    nerve: Option<NerveSize>,
}

/// The last line of a file that was finished.
#[derive(Serialize)]
struct EndLine {
    why: End,
    frames: u64,
    time_us: u64,
}

/// Why a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The recording goes on in its next file.
    Continued,
    /// No frame follows: the daemon stops, or the frames change.
    Ended,
    /// It could not be written any more.
    Failed,
}

/// A sidecar that is written.
pub struct Sidecar {
    path: PathBuf,
    /// Locked: who makes room leaves it and its video alone.
    file: File,
    /// Nothing more can be written.
    is_broken: bool,
    line: Vec<u8>,
    ai: Option<OverlayState>,
    signal: SignalState,
    model: Option<Arc<Model>>,
    region: Option<Sector>,
    frames: u64,
}

/// The sidecar of `video`.
pub fn path_of(video: &Path) -> PathBuf {
    let mut name = OsString::from(video);
    name.push(".jsonl");
    name.into()
}

impl Sidecar {
    /// Begins the sidecar of `video`; with `replace` over what is there.
    ///
    /// # Errors
    /// When it cannot be written now.
    pub fn create(video: &Path, replace: bool, header: &Header) -> Result<Self> {
        let path = path_of(video);
        let what = || {
            format!(
                "{} cannot be written. Check its folder, and that this user may write there",
                path.display()
            )
        };
        if replace && path.symlink_metadata().is_ok_and(|file| !file.is_file()) {
            bail!("{} is no regular file. Move it away", path.display());
        }
        let mut options = OpenOptions::new();
        options.append(true).create_new(!replace).create(replace);
        let file = options.open(&path).with_context(what)?;
        if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            bail!("{} is written by another recording", path.display());
        }
        if replace {
            file.set_len(0).with_context(what)?;
        }
        let mut this = Self {
            file,
            is_broken: false,
            line: vec![],
            ai: None,
            signal: SignalState::Ok,
            model: None,
            region: None,
            frames: 0,
            path: path.clone(),
        };
        if let Err(error) = this.write(&Line::Recording(header)) {
            this.remove();
            return Err(error).with_context(what);
        }
        Ok(this)
    }

    /// Writes what is true of a frame that is shown `pts_us` after the first; none if that was lost. Whether there is a
    /// line with its capture time.
    ///
    /// # Errors
    /// Once, when the file cannot be written any more.
    pub fn frame(&mut self, pts_us: u64, note: Option<&FrameNote>) -> io::Result<bool> {
        if self.is_broken {
            return Ok(false);
        }
        let time_us = note.map(|note| microseconds(note.captured));
        if let (Some(note), Some(time_us)) = (note, time_us) {
            self.changes(pts_us, time_us, note)?;
        }
        let nerve = note.and_then(|note| note.nerve);
        self.write(&Line::Frame(FrameLine { pts_us, time_us, nerve }))?;
        self.frames += 1;
        Ok(time_us.is_some())
    }

    /// Writes what is not as it was on the frame before.
    fn changes(&mut self, pts_us: u64, time_us: u64, note: &FrameNote) -> io::Result<()> {
        if self.signal != SignalState::Ok {
            self.signal = SignalState::Ok;
            self.write(&Line::Signal(Change { state: SignalState::Ok, pts_us: Some(pts_us), time_us }))?;
        }
        if let Some(region) = note.region.filter(|region| self.region != Some(*region)) {
            self.region = Some(region);
            self.write(&Line::Region(RegionLine { pts_us, region }))?;
        }
        let is_known =
            |model: &Arc<Model>| self.model.as_ref().is_some_and(|known| Arc::ptr_eq(known, model));
        if let Some(model) = note.model.as_ref().filter(|model| !is_known(model)) {
            self.model = Some(model.clone());
            self.write(&Line::Model(ModelLine { pts_us, time_us, model }))?;
        }
        if self.ai.replace(note.ai) != Some(note.ai) {
            self.write(&Line::Ai(Change { state: note.ai, pts_us: Some(pts_us), time_us }))?;
        }
        Ok(())
    }

    /// The source has fallen silent.
    ///
    /// # Errors
    /// Once, when the file cannot be written any more.
    pub fn no_signal(&mut self, at: SystemTime) -> io::Result<()> {
        if self.is_broken {
            return Ok(());
        }
        self.signal = SignalState::NoSignal;
        let change = Change { state: SignalState::NoSignal, pts_us: None, time_us: microseconds(at) };
        self.write(&Line::Signal(change))
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// Once, when the file cannot be written any more.
    pub fn end(&mut self, why: End) -> io::Result<()> {
        if self.is_broken {
            return Ok(());
        }
        let end = EndLine { why, frames: self.frames, time_us: microseconds(SystemTime::now()) };
        self.write(&Line::End(end))
    }

    /// Another handle, for who brings it to the disk.
    pub fn handle(&self) -> Option<File> {
        self.file.try_clone().ok()
    }

    /// There is nothing that it could be about.
    pub fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "an empty recording's sidecar could not be removed");
        }
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        // At once and in one piece: only a line that is written outlives the process.
        let written = self.file.write_all(&self.line);
        self.is_broken = written.is_err();
        written
    }
}

fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Deserialize)]
struct First {
    recording: FirstHeader,
}

#[derive(Deserialize)]
struct FirstHeader {
    program: String,
    file: String,
    sink: String,
}

/// The sidecar of `video`, if it says that the sink called `sink` recorded both.
pub fn open_own(video: &Path, sink: &str) -> Option<File> {
    let path = path_of(video);
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let mut line = String::new();
    BufReader::new((&file).take(LONGEST)).read_line(&mut line).ok()?;
    let First { recording } = serde_json::from_str(&line).ok()?;
    let is_own = recording.program == "nervelightd"
        && recording.sink == sink
        && video.file_name().is_some_and(|name| recording.file == name.to_string_lossy());
    is_own.then_some(file)
}

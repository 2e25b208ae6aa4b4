//! `[[sinks]]`: where annotated frames go.

mod rtsp;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::mistakes::Mistakes;
use crate::redact::redact;
pub use rtsp::{Access, RtspServer, Tls};

/// More is a mistake of a program that wrote the file.
const MOST_SINKS: usize = 64;

/// One table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSink {
    pub kind: Option<SinkKind>,
    pub path: Option<PathBuf>,
    pub encoder: Option<String>,
    pub overwrite: Option<bool>,
    pub element: Option<String>,
    pub listen: Option<String>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub max_viewers: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    File,
    Display,
    Preview,
    Rtsp,
    Null,
}

/// Where annotated frames go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// H.264 in MP4 or Matroska.
    File {
        /// `.mp4` or `.mkv`.
        path: PathBuf,
        /// Encoder as a GStreamer fragment; the best one installed when absent.
        encoder: Option<String>,
        /// Replace an existing file instead of numbering this one.
        overwrite: bool,
    },
    /// A screen.
    Display {
        /// A GStreamer video sink.
        element: String,
    },
    /// The live picture on the page.
    Preview,
    /// Players, by RTSP.
    Rtsp(RtspServer),
    /// Nowhere; frames are counted.
    Null,
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "file {}", path.display()),
            Self::Display { element } => write!(f, "display {}", redact(element)),
            Self::Preview => f.write_str("preview"),
            Self::Rtsp(server) => server.fmt(f),
            Self::Null => f.write_str("null"),
        }
    }
}

/// The sinks as used, with a gap where a table cannot be used. A preview needs a page to be shown on.
pub fn resolve(raw: &[RawSink], has_page: bool, base: &Path, mistakes: &mut Mistakes) -> Vec<Option<Sink>> {
    let missing = "are missing: add at least one [[sinks]] table, such as kind = \"preview\"";
    mistakes.check(!raw.is_empty(), "sinks", missing);
    if raw.len() > MOST_SINKS {
        mistakes.add("sinks", format!("are more than {MOST_SINKS}. Remove some"));
        return vec![];
    }
    let sinks = raw.iter().enumerate();
    sinks.map(|(i, sink)| sink.resolve(&format!("sinks[{i}]"), has_page, base, mistakes)).collect()
}

impl RawSink {
    /// The sink as used; `table` is its key.
    fn resolve(&self, table: &str, has_page: bool, base: &Path, mistakes: &mut Mistakes) -> Option<Sink> {
        let mut mistake = |key: &str, message: &str| mistakes.add(format!("{table}.{key}"), message);
        let Some(kind) = self.kind else {
            mistake("kind", "is missing: use \"file\", \"display\", \"preview\", \"rtsp\" or \"null\"");
            return None;
        };
        let is_file = kind == SinkKind::File;
        let is_rtsp = kind == SinkKind::Rtsp;
        let uses = [
            ("path", self.path.is_some(), is_file || is_rtsp),
            ("encoder", self.encoder.is_some(), is_file),
            ("overwrite", self.overwrite.is_some(), is_file),
            ("element", self.element.is_some(), kind == SinkKind::Display),
            ("listen", self.listen.is_some(), is_rtsp),
            ("user", self.user.is_some(), is_rtsp),
            ("password_file", self.password_file.is_some(), is_rtsp),
            ("token_file", self.token_file.is_some(), is_rtsp),
            ("certificate", self.certificate.is_some(), is_rtsp),
            ("key", self.key.is_some(), is_rtsp),
            ("max_viewers", self.max_viewers.is_some(), is_rtsp),
        ];
        for (key, is_set, is_used) in uses {
            if is_set && !is_used {
                mistake(key, "has no meaning with this kind of sink. Remove it");
            }
        }
        Some(match kind {
            SinkKind::Null => Sink::Null,
            SinkKind::Display => {
                Sink::Display { element: self.element.clone().unwrap_or_else(|| "auto".into()) }
            }
            SinkKind::Preview => {
                if !has_page {
                    mistake("kind", "\"preview\" needs the page: set http.enabled = true");
                }
                Sink::Preview
            }
            SinkKind::Rtsp => return rtsp::resolve(self, table, base, mistakes).map(Sink::Rtsp),
            SinkKind::File => {
                let Some(path) = self.path.as_ref().map(|p| base.join(p)) else {
                    mistake("path", "is missing: set it to the recording's file, such as \"nerve.mp4\"");
                    return None;
                };
                if !path.extension().is_some_and(|e| e == "mp4" || e == "mkv") {
                    mistake("path", "must end in .mp4 or .mkv");
                }
                let (encoder, overwrite) = (self.encoder.clone(), self.overwrite.unwrap_or(false));
                Sink::File { path, encoder, overwrite }
            }
        })
    }
}

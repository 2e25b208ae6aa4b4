//! `[[sinks]]`: where annotated frames go.

mod file;
mod igtl;
mod rtsp;
pub mod webrtc;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::http::RawHttp;
use crate::config::mistakes::Mistakes;
use crate::redact::redact;
pub use file::{FileSettings, SegmentLimits};
pub use igtl::{IgtlContent, IgtlSink};
pub use rtsp::{Access, RtspServer};

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
    pub segment_seconds: Option<u64>,
    pub segment_mb: Option<u64>,
    pub quota_mb: Option<u64>,
    pub keep_free_mb: Option<u64>,
    pub element: Option<String>,
    pub listen: Option<String>,
    pub allow_unprotected: Option<bool>,
    pub content: Option<Vec<IgtlContent>>,
    pub udp: Option<String>,
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
    Webrtc,
    Rtsp,
    Null,
    Igtl,
}

/// Where annotated frames go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// H.264 in MP4 or Matroska.
    File(FileSettings),
    /// A screen.
    Display {
        /// A GStreamer video sink.
        element: String,
    },
    /// The live picture on the page, as JPEG.
    Preview,
    /// The live picture in browsers, as video.
    Webrtc(webrtc::Webrtc),
    /// Players, by RTSP.
    Rtsp(RtspServer),
    /// Nowhere; frames are counted.
    Null,
    /// Clients that speak OpenIGTLink.
    Igtl(IgtlSink),
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "file {}", file.path.display()),
            Self::Display { element } => write!(f, "display {}", redact(element)),
            Self::Preview => f.write_str("preview"),
            Self::Rtsp(server) => server.fmt(f),
            Self::Webrtc(webrtc) => write!(f, "webrtc {}", webrtc.udp),
            Self::Null => f.write_str("null"),
            Self::Igtl(server) => write!(f, "igtl {}", server.listen),
        }
    }
}

/// The sinks as used, with a gap where a table cannot be used. Some need the page of `http`.
pub fn resolve(raw: &[RawSink], http: &RawHttp, base: &Path, mistakes: &mut Mistakes) -> Vec<Option<Sink>> {
    let missing = "are missing: add at least one [[sinks]] table, such as kind = \"preview\"";
    mistakes.check(!raw.is_empty(), "sinks", missing);
    if raw.len() > MOST_SINKS {
        mistakes.add("sinks", format!("are more than {MOST_SINKS}. Remove some"));
        return vec![];
    }
    let sinks = raw.iter().enumerate();
    let sinks = sinks.map(|(i, sink)| sink.resolve(&format!("sinks[{i}]"), http, base, mistakes));
    let sinks: Vec<_> = sinks.collect();
    webrtc::refuse_second(&sinks, mistakes);
    refuse_shared_ports(&sinks, mistakes);
    sinks
}

/// Two servers cannot have one port.
fn refuse_shared_ports(sinks: &[Option<Sink>], mistakes: &mut Mistakes) {
    let mut taken = vec![];
    for (i, sink) in sinks.iter().enumerate() {
        let listen = match sink {
            Some(Sink::Rtsp(server)) => server.listen,
            Some(Sink::Igtl(server)) => server.listen,
            _ => continue,
        };
        if taken.contains(&listen) {
            mistakes.add(format!("sinks[{i}].listen"), "is another sink's, too. Choose another port");
        }
        taken.push(listen);
    }
}

impl RawSink {
    /// The sink as used; `table` is its key.
    fn resolve(&self, table: &str, http: &RawHttp, base: &Path, mistakes: &mut Mistakes) -> Option<Sink> {
        let mut mistake = |key: &str, message: &str| mistakes.add(format!("{table}.{key}"), message);
        let Some(kind) = self.kind else {
            mistake(
                "kind",
                "is missing: use \"file\", \"display\", \"preview\", \"webrtc\", \"rtsp\", \"igtl\" or \"null\"",
            );
            return None;
        };
        let is_file = kind == SinkKind::File;
        let is_rtsp = kind == SinkKind::Rtsp;
        let uses = [
            ("path", self.path.is_some(), is_file || is_rtsp),
            ("encoder", self.encoder.is_some(), is_file),
            ("overwrite", self.overwrite.is_some(), is_file),
            ("segment_seconds", self.segment_seconds.is_some(), is_file),
            ("segment_mb", self.segment_mb.is_some(), is_file),
            ("quota_mb", self.quota_mb.is_some(), is_file),
            ("keep_free_mb", self.keep_free_mb.is_some(), is_file),
            ("element", self.element.is_some(), kind == SinkKind::Display),
            ("listen", self.listen.is_some(), is_rtsp || kind == SinkKind::Igtl),
            ("allow_unprotected", self.allow_unprotected.is_some(), kind == SinkKind::Igtl),
            ("content", self.content.is_some(), kind == SinkKind::Igtl),
            ("udp", self.udp.is_some(), kind == SinkKind::Webrtc),
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
            SinkKind::Igtl => {
                let (listen, unprotected) = (self.listen.as_deref(), self.allow_unprotected.unwrap_or(false));
                Sink::Igtl(IgtlSink::resolve(listen, unprotected, self.content.as_deref(), mistake)?)
            }
            SinkKind::Display => {
                Sink::Display { element: self.element.clone().unwrap_or_else(|| "auto".into()) }
            }
            SinkKind::Preview => {
                if !http.enabled {
                    mistake("kind", "\"preview\" needs the page: set http.enabled = true");
                }
                Sink::Preview
            }
            SinkKind::Rtsp => return rtsp::resolve(self, table, base, mistakes).map(Sink::Rtsp),
            SinkKind::Webrtc => Sink::Webrtc(webrtc::resolve(self.udp.as_deref(), http, &mut mistake)?),
            SinkKind::File => return file::resolve(self, table, base, mistakes),
        })
    }
}

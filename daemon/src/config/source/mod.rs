//! `[source]`: where frames come from. A device need not be there yet: whoever opens it finds that out.

mod igtl;
mod rtsp;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::mistakes::Mistakes;
use crate::redact::redact;
pub use igtl::IgtlSource;
pub use rtsp::{Rtsp, Transport};

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSource {
    pub kind: Option<SourceKind>,
    pub seed: Option<u64>,
    pub frames: Option<u64>,
    pub fps: Option<u32>,
    pub path: Option<String>,
    pub device: Option<PathBuf>,
    pub caps: Option<String>,
    pub pipeline: Option<String>,
    pub live: Option<bool>,
    pub reconnect: Option<bool>,
    pub paced: Option<bool>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub silence_s: Option<f64>,
    pub uri: Option<String>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub transport: Option<Transport>,
    pub decoder: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Phantom,
    File,
    V4l2,
    Pipeline,
    Igtl,
    Rtsp,
}

/// Where frames come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Synthetic ultrasound.
    Phantom(PhantomSettings),
    /// A file or URI that GStreamer decodes.
    File {
        /// The URI to open.
        uri: String,
        /// At the clip's own rate instead of as fast as possible.
        paced: bool,
    },
    /// A Video4Linux device.
    V4l2 {
        /// Such as `/dev/video0`.
        device: PathBuf,
        /// Caps to ask the device for.
        caps: Option<String>,
        /// Wait for it when it is absent, fails or ends.
        reconnect: bool,
    },
    /// A fragment in `gst-launch-1.0` notation that ends in raw video.
    Pipeline {
        /// The fragment.
        pipeline: String,
        /// Whether its frames come at their own pace and are dropped when they cannot be taken.
        live: bool,
        /// Open it again when it fails or ends.
        reconnect: bool,
    },
    /// An OpenIGTLink server.
    Igtl(IgtlSource),
    /// A stream of an RTSP server.
    Rtsp(Rtsp),
}

/// The phantom's settings.
#[derive(Debug, Clone)]
pub struct PhantomSettings {
    /// Which patient.
    pub seed: u64,
    /// Frames to render, 0 without end.
    pub frames: u64,
    /// Frames per second on the time line.
    pub fps: u32,
    /// At that rate instead of as fast as possible.
    pub paced: bool,
}

impl Source {
    /// Whether frames come at their own pace, so that waiting means losing.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Phantom(phantom) => phantom.paced,
            Self::File { paced, .. } => *paced,
            Self::V4l2 { .. } | Self::Rtsp(_) => true,
            Self::Pipeline { live, .. } => *live,
            Self::Igtl(_) => true,
        }
    }

    /// What kind it is, and nothing that tells one from another.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Phantom(_) => "phantom",
            Self::File { .. } => "file",
            Self::V4l2 { .. } => "v4l2",
            Self::Pipeline { .. } => "pipeline",
            Self::Igtl(_) => "igtl",
            Self::Rtsp(_) => "rtsp",
        }
    }

    /// Whether it may send nothing for any time: a device without signal, what stands for one, and what is waited for.
    pub fn may_be_silent(&self) -> bool {
        self.is_waited_for() || matches!(self, Self::V4l2 { .. } | Self::Pipeline { live: true, .. })
    }

    /// Whether it is waited for when it ends, fails or is not there yet. The end of a file is meant.
    pub fn is_waited_for(&self) -> bool {
        match self {
            Self::Phantom(_) | Self::File { .. } => false,
            Self::V4l2 { reconnect, .. } | Self::Pipeline { reconnect, .. } => *reconnect,
            Self::Igtl(_) => true,
            Self::Rtsp(_) => true,
        }
    }

    /// Whether the sink has to wait for the clock to give frames their pace.
    pub fn is_paced_by_clock(&self) -> bool {
        matches!(self, Self::File { paced: true, .. })
    }

    /// The file that it reads; none if it reads no local file.
    pub fn file(&self) -> Option<PathBuf> {
        let Self::File { uri, .. } = self else { return None };
        gst::glib::filename_from_uri(uri).ok().map(|(path, _)| path)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phantom(phantom) => write!(f, "phantom {}", phantom.seed),
            // As the user knows it: a path without the encoding that a URI needs.
            Self::File { uri, .. } => match self.file() {
                Some(path) => write!(f, "{}", path.display()),
                None => f.write_str(&redact(uri)),
            },
            Self::V4l2 { device, .. } => write!(f, "{}", device.display()),
            Self::Pipeline { pipeline, .. } => write!(f, "`{}`", redact(pipeline)),
            Self::Igtl(server) => write!(f, "{server}"),
            Self::Rtsp(rtsp) => f.write_str(&redact(rtsp.uri.as_str())),
        }
    }
}

impl RawSource {
    /// The source as used; none if the section has a mistake. Relative paths are relative to `base`.
    pub fn resolve(&self, base: &Path, mistakes: &mut Mistakes) -> Option<Source> {
        let before = mistakes.len();
        let Some(kind) = self.kind else {
            mistakes.add(
                "source.kind",
                "is missing: use \"phantom\", \"file\", \"v4l2\", \"rtsp\", \"igtl\" or \"pipeline\"",
            );
            return None;
        };
        self.refuse_keys_of_other_kinds(kind, mistakes);
        let fps = self.fps.unwrap_or(30);
        mistakes.check((1..=240).contains(&fps), "source.fps", "must be from 1 to 240");
        let source = match kind {
            SourceKind::Phantom => Some(Source::Phantom(PhantomSettings {
                seed: self.seed.unwrap_or(1),
                frames: self.frames.unwrap_or(0),
                fps,
                paced: self.paced.unwrap_or(true),
            })),
            SourceKind::File => {
                let path = present(self.path.as_deref(), "path", "a video file or URI", mistakes);
                let uri = path.and_then(|path| {
                    uri(path, base).map_err(|message| mistakes.add("source.path", message)).ok()
                });
                uri.map(|uri| Source::File { uri, paced: self.paced.unwrap_or(false) })
            }
            SourceKind::V4l2 => {
                let what = "a capture device, such as \"/dev/video0\"";
                let device = present(self.device.as_ref(), "device", what, mistakes).cloned();
                let reconnect = self.reconnect.unwrap_or(true);
                device.map(|device| Source::V4l2 { device, caps: self.caps.clone(), reconnect })
            }
            SourceKind::Pipeline => {
                let what = "a GStreamer fragment, such as \"videotestsrc\"";
                let pipeline = present(self.pipeline.as_ref(), "pipeline", what, mistakes).cloned();
                let live = self.live.unwrap_or(true);
                let reconnect = self.reconnect.unwrap_or(live);
                pipeline.map(|pipeline| Source::Pipeline { pipeline, live, reconnect })
            }
            SourceKind::Igtl => IgtlSource::resolve(self, mistakes).map(Source::Igtl),
            SourceKind::Rtsp => rtsp::resolve(self, base, mistakes),
        };
        source.filter(|_| mistakes.len() == before)
    }

    fn refuse_keys_of_other_kinds(&self, kind: SourceKind, mistakes: &mut Mistakes) {
        use SourceKind::{File, Igtl, Phantom, Pipeline, Rtsp, V4l2};
        let uses: [(&str, bool, &[SourceKind]); 18] = [
            ("seed", self.seed.is_some(), &[Phantom]),
            ("frames", self.frames.is_some(), &[Phantom]),
            ("fps", self.fps.is_some(), &[Phantom]),
            ("path", self.path.is_some(), &[File]),
            ("device", self.device.is_some(), &[V4l2, Igtl]),
            ("caps", self.caps.is_some(), &[V4l2]),
            ("pipeline", self.pipeline.is_some(), &[Pipeline]),
            ("live", self.live.is_some(), &[Pipeline]),
            ("reconnect", self.reconnect.is_some(), &[V4l2, Pipeline]),
            ("paced", self.paced.is_some(), &[Phantom, File]),
            ("host", self.host.is_some(), &[Igtl]),
            ("port", self.port.is_some(), &[Igtl]),
            ("silence_s", self.silence_s.is_some(), &[Igtl]),
            ("uri", self.uri.is_some(), &[Rtsp]),
            ("user", self.user.is_some(), &[Rtsp]),
            ("password_file", self.password_file.is_some(), &[Rtsp]),
            ("transport", self.transport.is_some(), &[Rtsp]),
            ("decoder", self.decoder.is_some(), &[Rtsp]),
        ];
        let name = match kind {
            Phantom => "phantom",
            File => "file",
            V4l2 => "v4l2",
            Pipeline => "pipeline",
            Igtl => "igtl",
            Rtsp => "rtsp",
        };
        for (key, is_set, kinds) in uses {
            if is_set && !kinds.contains(&kind) {
                let message = format!("has no meaning with source.kind = \"{name}\". Remove it");
                mistakes.add(format!("source.{key}"), message);
            }
        }
    }
}

/// A value that the kind of source cannot do without.
fn present<T>(value: Option<T>, key: &str, what: &str, mistakes: &mut Mistakes) -> Option<T> {
    if value.is_none() {
        mistakes.add(format!("source.{key}"), format!("is missing: set it to {what}"));
    }
    value
}

/// The URI of a file, or the URI itself.
///
/// # Errors
/// When it is a path and nothing is there.
fn uri(path_or_uri: &str, base: &Path) -> Result<String, String> {
    if path_or_uri.contains("://") {
        return Ok(path_or_uri.into());
    }
    let path = base.join(path_or_uri);
    let said = |e| format!("{}: {e}. Check the path", path.display());
    path.metadata().map_err(said)?;
    let path = std::path::absolute(&path).map_err(said)?;
    let uri = gst::glib::filename_to_uri(path, None).map_err(|e| e.to_string())?;
    Ok(uri.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_as_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Scan ä 100%.mp4");
        std::fs::write(&path, "").unwrap();
        let uri = uri("Scan ä 100%.mp4", folder.path()).unwrap();
        assert!(uri.contains("%20"), "{uri}");
        assert_eq!(Source::File { uri, paced: false }.to_string(), path.display().to_string());
    }

    #[test]
    fn a_device_that_is_not_there_yet_is_no_mistake() {
        let (mut mistakes, device) = (Mistakes::default(), Some("/dev/video99".into()));
        let raw = RawSource { kind: Some(SourceKind::V4l2), device, ..RawSource::default() };
        assert!(matches!(raw.resolve(Path::new("."), &mut mistakes), Some(Source::V4l2 { .. })));
        assert_eq!(mistakes.len(), 0);
    }
}

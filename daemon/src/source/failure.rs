//! Why a source stopped, in words that say what to do.

use std::time::Duration;

use gst::prelude::*;

/// Why a source stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The source's element or device reported a failure.
    #[error("source {name}: {message}. {remedy}")]
    Failed {
        /// The source as configured.
        name: String,
        /// What the element said.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// Nobody answers at the source's address.
    #[error(
        "source {name}: {server} cannot be reached ({why}). Check host and port, the network, and that the server runs"
    )]
    Unreachable {
        /// The source as configured.
        name: String,
        /// Its host and port.
        server: String,
        /// What the system said.
        why: String,
    },
    /// The source ended before the length it had stated.
    #[error(
        "source {name} is cut short: it ended at {ended:.2?} of {stated:.2?}. Every whole frame up to there \
         was processed; copy or record the file again for the rest"
    )]
    CutShort {
        /// The source as configured.
        name: String,
        /// End of its last frame.
        ended: Duration,
        /// The duration it had stated.
        stated: Duration,
    },
    /// Frames in the middle are missing or damaged.
    #[error(
        "source {name} is damaged: about {frames} frames are missing or broken. Every frame that could be \
         decoded was processed; copy or record the file again for the rest"
    )]
    Damaged {
        /// The source as configured.
        name: String,
        /// How many.
        frames: u64,
    },
}

impl SourceError {
    /// Whether another attempt costs nobody anything: there was nobody to be asked.
    pub fn is_free(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// What a server's refusal means, if it is one that people can do something about. `status` is one of RTSP or HTTP.
pub fn answered(name: &str, server: &str, status: u16) -> Option<SourceError> {
    let (message, remedy) = match status {
        401 | 403 => ("refuses to send it", "Check user name and password"),
        404 => ("has no such stream", "Check the address after the host"),
        461 => ("does not send it that way", "Try the other transport"),
        453 | 500..=599 => ("cannot send it now", "Look at the server's own log"),
        _ => return None,
    };
    let message = format!("{server} {message} ({status})");
    Some(SourceError::Failed { name: name.into(), message, remedy: remedy.into() })
}

/// What an element's error says about the source `name`.
pub fn failure(name: &str, error: &gst::message::Error) -> SourceError {
    let kind = error.error();
    let debug = error.debug().map(|text| text.to_string()).unwrap_or_default();
    let element = error.src().map_or_else(String::new, |s| format!(" ({})", s.name()));
    // A fragment may read from a server too.
    let is_network = ["GstSoupHTTPSrc", "GstRTSPSrc"].iter().any(|element| debug.contains(element));
    let server = server(name).or(is_network.then_some("its server"));
    if let Some(server) = server
        && debug.contains("GstRTSPSrc")
        && debug.contains("Failed to connect")
    {
        let (server, why) = (server.into(), "nobody answers".into());
        return SourceError::Unreachable { name: name.into(), server, why };
    }
    let (message, remedy) = server
        .and_then(|server| unreachable_server(&kind, &debug, server))
        .or_else(|| without_video(&debug))
        .unwrap_or_else(|| (format!("{}{element}", kind.message().trim_end_matches('.')), remedy(&kind)));
    SourceError::Failed { name: name.into(), message, remedy: remedy.into() }
}

/// What to do about a failure of a file or device.
fn remedy(kind: &gst::glib::Error) -> &'static str {
    if kind.matches(gst::ResourceError::NotFound) {
        "Check the path or device, and that it is plugged in"
    } else if kind.matches(gst::ResourceError::Busy) {
        "Another program holds the device; stop it"
    } else if kind.matches(gst::ResourceError::OpenRead) || kind.matches(gst::ResourceError::NotAuthorized) {
        "Check that it exists and that this user may read it (for a device: group video)"
    } else if kind.matches(gst::StreamError::TypeNotFound) || kind.matches(gst::StreamError::WrongType) {
        "It is no video that GStreamer knows; check the file"
    } else if kind.matches(gst::StreamError::CodecNotFound) || kind.matches(gst::CoreError::MissingPlugin) {
        "Install the GStreamer plugin that decodes it (gstreamer1.0-libav, -plugins-good, -plugins-bad)"
    } else if kind.matches(gst::StreamError::Demux) || kind.matches(gst::StreamError::Decode) {
        "The file is damaged or incomplete; copy or record it again"
    } else {
        "Try the pipeline of `nervelightd check` with gst-launch-1.0 -v to see more"
    }
}

/// Host and port of a URI that is no file.
fn server(name: &str) -> Option<&str> {
    let (scheme, rest) = name.split_once("://")?;
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let host = rest.split(['/', '?', '#']).next()?;
    // A user and a password stay out of it.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    (is_scheme && scheme != "file" && !host.is_empty()).then_some(host)
}

/// Why a server gives no stream, and what to do.
fn unreachable_server(kind: &gst::glib::Error, debug: &str, server: &str) -> Option<(String, &'static str)> {
    let says =
        |words: &[&str]| words.iter().any(|word| kind.message().contains(word) || debug.contains(word));
    let is = |code: gst::ResourceError| kind.matches(code);
    if is(gst::ResourceError::NotAuthorized) || says(&["Unauthorized", "Forbidden", "(401)", "(403)"]) {
        return Some((format!("{server} refuses to send it"), "Check user name and password"));
    }
    if is(gst::ResourceError::NotFound) || says(&["(404)"]) {
        return Some((format!("{server} has no such stream"), "Check the address after the host"));
    }
    // souphttpsrc says no more than this when nobody answers.
    let is_silent = kind.matches(gst::StreamError::Failed) && debug.contains("GstSoupHTTPSrc");
    let is_closed = is(gst::ResourceError::OpenRead)
        || is(gst::ResourceError::OpenReadWrite)
        || says(&["Failed to connect"]);
    (is_silent || is_closed).then(|| {
        let remedy = "Check host and port, the network, and that the server runs";
        (format!("{server} cannot be reached"), remedy)
    })
}

/// A file of sound only: no element wants what its demuxer finds.
fn without_video(debug: &str) -> Option<(String, &'static str)> {
    let message = "there is no video in it, only sound or data";
    debug.contains("reason not-linked").then(|| (message.into(), "Choose one that holds video"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_without_secrets() {
        assert_eq!(server("rtsp://nurse:pa@ss@10.0.0.2:554/us"), Some("10.0.0.2:554"));
        assert_eq!(server("http://camera/a.mjpg?token=1"), Some("camera"));
        assert_eq!(server("`rtspsrc location=rtsp://10.0.0.2/us`"), None, "a fragment is no URI");
        assert_eq!((server("/clips/a.mp4"), server("file:///a.mp4")), (None, None));
    }
}

//! `kind = "rtsp"`: a stream of a network encoder, a camera or a server.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::{RawSource, Source, present};
use crate::config::mistakes::Mistakes;

/// How packets come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Inside the RTSP connection: none is lost.
    #[default]
    Tcp,
    /// Each for itself, or by multicast where the server says so: none is late.
    Udp,
}

/// A stream and how to get it.
#[derive(Debug, Clone)]
pub struct Rtsp {
    /// Its address, without user and password.
    pub uri: Url,
    /// Who asks for it.
    pub user: Option<String>,
    /// The file that holds the user's password.
    pub password_file: Option<PathBuf>,
    /// How packets come.
    pub transport: Transport,
    /// GStreamer's notation of what decodes it, in the place of the best that works.
    pub decoder: Option<String>,
}

impl Rtsp {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.uri.scheme() == "rtsps"
    }

    /// Host and port.
    pub fn server(&self) -> String {
        let host = self.uri.host_str().unwrap_or_default();
        self.uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// The section as used; none if it has a mistake.
pub fn resolve(raw: &RawSource, base: &Path, mistakes: &mut Mistakes) -> Option<Source> {
    let what = "the stream's address, such as \"rtsp://10.0.0.2:554/us\"";
    let uri = address(present(raw.uri.as_deref(), "uri", what, mistakes)?);
    let uri = uri.map_err(|message| mistakes.add("source.uri", message)).ok();
    let transport = raw.transport.unwrap_or_default();
    let is_tls = uri.as_ref().is_some_and(|uri| uri.scheme() == "rtsps");
    mistakes.check(
        !is_tls || transport == Transport::Tcp,
        "source.transport",
        "must be \"tcp\" for rtsps://: packets of UDP would not be encrypted",
    );
    mistakes.check(
        raw.user.as_deref() != Some("") && (raw.user.is_some() || raw.password_file.is_none()),
        "source.user",
        "is missing: source.password_file has a meaning only for a user",
    );
    mistakes.check(
        raw.decoder.as_deref().is_none_or(|decoder| !decoder.trim().is_empty()),
        "source.decoder",
        "is empty. Remove it to have the best decoder that works here",
    );
    Some(Source::Rtsp(Rtsp {
        uri: uri?,
        user: raw.user.clone(),
        password_file: raw.password_file.as_ref().map(|path| base.join(path)),
        transport,
        decoder: raw.decoder.clone(),
    }))
}

/// The address, if it is one and holds no secret.
///
/// # Errors
/// What is wrong with it.
fn address(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "Write it as \"rtsp://HOST:PORT/PATH\", or with rtsps:// for TLS";
    let uri = Url::parse(text).map_err(|e| format!("is no address: {e}. {EXAMPLE}"))?;
    if !["rtsp", "rtsps"].contains(&uri.scheme()) || uri.host_str().is_none_or(str::is_empty) {
        return Err(format!("is no address of an RTSP server. {EXAMPLE}"));
    }
    if !uri.username().is_empty() || uri.password().is_some() {
        return Err(
            "holds a user or a password, which everybody reads who sees this file. Set source.user, and \
                    source.password_file to a file that holds the password"
                .into(),
        );
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::SourceKind;

    fn resolved(change: impl FnOnce(&mut RawSource)) -> Result<Rtsp, String> {
        let mut raw = RawSource {
            kind: Some(SourceKind::Rtsp),
            uri: Some("rtsp://10.0.0.2:8554/us".into()),
            ..RawSource::default()
        };
        change(&mut raw);
        let mut mistakes = Mistakes::default();
        match raw.resolve(Path::new("/etc/nervelight"), &mut mistakes) {
            Some(Source::Rtsp(rtsp)) => Ok(rtsp),
            _ => Err(mistakes.into_list().into_iter().map(|problem| problem.message).collect()),
        }
    }

    #[test]
    fn tcp_is_the_default_and_files_are_relative_to_the_configuration() {
        let rtsp = resolved(|raw| {
            (raw.user, raw.password_file) = (Some("cart".into()), Some("encoder.password".into()));
        })
        .unwrap();
        assert_eq!((rtsp.transport, rtsp.is_tls()), (Transport::Tcp, false));
        assert_eq!(rtsp.server(), "10.0.0.2:8554");
        assert_eq!(rtsp.password_file, Some("/etc/nervelight/encoder.password".into()));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let uri = |uri: &str| resolved(|raw| raw.uri = Some(uri.into())).unwrap_err();
        for text in ["", "10.0.0.2/us", "http://10.0.0.2/us", "rtsp:///us"] {
            assert!(uri(text).contains("rtsp://HOST:PORT/PATH"), "{text}: {}", uri(text));
        }
        let said = uri("rtsp://cart:secret@10.0.0.2/us");
        assert!(said.contains("source.password_file") && !said.contains("secret"), "{said}");
        let udp = resolved(|raw| {
            (raw.uri, raw.transport) = (Some("rtsps://10.0.0.2/us".into()), Some(Transport::Udp));
        });
        assert!(udp.unwrap_err().contains("encrypted"));
        assert!(resolved(|raw| raw.password_file = Some("x".into())).unwrap_err().contains("user"));
        assert!(resolved(|raw| raw.fps = Some(30)).unwrap_err().contains("no meaning"));
    }
}

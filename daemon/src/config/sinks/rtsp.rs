//! `kind = "rtsp"`: a server that players on this machine, or with TLS and a log-in any, watch.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::mistakes::Mistakes;
use crate::config::sinks::RawSink;
use crate::config::tls::Tls;

/// Viewers at a time, if nothing else is said.
const VIEWERS: u32 = 128;
const MOST_VIEWERS: u32 = 1024;

/// An RTSP server's settings.
#[derive(Debug, Clone)]
pub struct RtspServer {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The stream's path, such as `/nerve`.
    pub path: String,
    /// Who may watch.
    pub access: Access,
    /// What it speaks TLS with.
    pub tls: Option<Tls>,
    /// Viewers at a time.
    pub max_viewers: usize,
}

/// Who may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody who reaches it.
    Anybody,
    /// Who knows the password in `file`.
    Password {
        /// Its user.
        user: String,
        /// Holds the password.
        file: PathBuf,
    },
    /// Who knows the token in this file.
    Token(PathBuf),
}

impl fmt::Display for RtspServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rtsps" } else { "rtsp" };
        write!(f, "rtsp {scheme}://{}{}", self.listen, self.path)
    }
}

/// The settings as used; none if the table has a mistake.
pub fn resolve(raw: &RawSink, table: &str, base: &Path, mistakes: &mut Mistakes) -> Option<RtspServer> {
    let before = mistakes.len();
    let mut mistake = |key: &str, message: &str| mistakes.add(format!("{table}.{key}"), message);
    let listen = raw.listen.as_deref().unwrap_or("127.0.0.1:8554").parse::<SocketAddr>();
    if listen.is_err() {
        mistake("listen", "must be an address and a port like \"127.0.0.1:8554\"");
    }
    let path = raw.path.as_ref().map_or("/nerve".into(), |path| path.display().to_string());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') || !path.chars().all(is_plain) {
        mistake(
            "path",
            "must be what follows host and port, such as \"/nerve\": letters, digits, - _ . and /",
        );
    }
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| base.join(path));
    let access = match (&raw.user, file(&raw.password_file), file(&raw.token_file)) {
        (None, None, None) => Access::Anybody,
        (Some(user), Some(file), None) => {
            if user.is_empty() || user.contains(':') {
                mistake("user", "must be a name without a colon");
            }
            Access::Password { user: user.clone(), file }
        }
        (None, None, Some(file)) => Access::Token(file),
        (_, _, Some(_)) => {
            mistake("token_file", "cannot be used with user and password_file. Remove one of them");
            Access::Anybody
        }
        (user, ..) => {
            let (missing, other) =
                if user.is_some() { ("password_file", "user") } else { ("user", "password_file") };
            mistake(missing, &format!("is missing: {other} is set, and one is nothing without the other"));
            Access::Anybody
        }
    };
    let tls = Tls::resolve(raw.certificate.as_ref(), raw.key.as_ref(), base, &mut mistake);
    if let Ok(listen) = listen
        && !listen.ip().is_loopback()
        && (raw.certificate.is_none() || raw.key.is_none() || access == Access::Anybody)
    {
        mistake(
            "listen",
            "is not on loopback: everybody on the network could watch patients. Set certificate and key, and user \
             and password_file (or token_file), or use 127.0.0.1",
        );
    }
    let max_viewers = raw.max_viewers.unwrap_or(VIEWERS);
    if !(1..=MOST_VIEWERS).contains(&max_viewers) {
        mistake("max_viewers", &format!("must be from 1 to {MOST_VIEWERS}"));
    }
    let listen = listen.ok().filter(|_| mistakes.len() == before)?;
    Some(RtspServer { listen, path, access, tls, max_viewers: max_viewers as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> (Option<RtspServer>, Vec<String>) {
        let raw: RawSink = toml::from_str(&format!("kind = \"rtsp\"\n{text}")).unwrap();
        let mut mistakes = Mistakes::default();
        let server = resolve(&raw, "sinks[0]", Path::new("/etc"), &mut mistakes);
        (server, mistakes.into_list().iter().map(|problem| format!("{problem:?}")).collect())
    }

    #[test]
    fn loopback_needs_nothing_and_the_network_tls_and_a_log_in() {
        let (server, _) = resolved("");
        let server = server.unwrap();
        assert_eq!(server.to_string(), "rtsp rtsp://127.0.0.1:8554/nerve");
        assert_eq!((server.access, server.max_viewers), (Access::Anybody, 128));
        let tls = "certificate = \"c.pem\"\nkey = \"k.pem\"\n";
        let log_in = "user = \"ward\"\npassword_file = \"p\"\n";
        let open = "listen = \"0.0.0.0:8554\"\n";
        for bad in [open.to_owned(), format!("{open}{tls}"), format!("{open}{log_in}")] {
            let (server, said) = resolved(&bad);
            assert!(server.is_none() && said.len() == 1 && said[0].contains("not on loopback"), "{said:?}");
        }
        let (server, said) = resolved(&format!("{open}{tls}{log_in}"));
        assert_eq!(server.unwrap().to_string(), "rtsp rtsps://0.0.0.0:8554/nerve", "{said:?}");
        let (server, _) = resolved(&format!("{open}{tls}token_file = \"t\""));
        assert_eq!(server.unwrap().access, Access::Token("/etc/t".into()));
    }

    #[test]
    fn halves_and_nonsense_are_mistakes() {
        for (text, key) in [
            ("listen = \"here\"", "listen"),
            ("path = \"nerve\"", "path"),
            ("path = \"/a b\"", "path"),
            ("user = \"a\"", "password_file"),
            ("password_file = \"a\"", "user"),
            ("user = \"a:b\"\npassword_file = \"p\"", "user"),
            ("user = \"a\"\npassword_file = \"p\"\ntoken_file = \"t\"", "token_file"),
            ("certificate = \"c\"", "key"),
            ("key = \"c\"", "certificate"),
            ("max_viewers = 0", "max_viewers"),
        ] {
            let (server, said) = resolved(text);
            assert!(server.is_none() && said[0].contains(&format!("sinks[0].{key}")), "{text}: {said:?}");
        }
    }
}

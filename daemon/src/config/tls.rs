//! Certificates of servers, as several sections name them.

use std::path::{Path, PathBuf};

/// Certificate and key, both PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Tls {
    /// Both as used, relative to `base`; none if neither is set, or one without the other.
    pub fn resolve(
        certificate: Option<&PathBuf>,
        key: Option<&PathBuf>,
        base: &Path,
        mut mistake: impl FnMut(&str, &str),
    ) -> Option<Self> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Some(Self { certificate: base.join(certificate), key: base.join(key) })
            }
            (None, None) => None,
            (certificate, _) => {
                let missing = if certificate.is_some() { "key" } else { "certificate" };
                mistake(missing, "is missing: TLS needs a certificate and its key, both as PEM files");
                None
            }
        }
    }
}

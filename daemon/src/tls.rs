//! Certificates of this program's servers, which may be renewed while it runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use nervelight_engines::digest::sha256;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;

use crate::config::Tls;
use crate::lock::lock;
use crate::secret;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// A certificate that ends within it is warned of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A certificate with its key, as its files were when they last could be used.
pub struct Identity {
    files: Tls,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    stamps: [Stamp; 2],
    current: Current,
}

#[derive(Clone)]
struct Current {
    acceptor: TlsAcceptor,
    /// The server's own certificate.
    own: CertificateDer<'static>,
    /// When it ends.
    ends: Timestamp,
}

/// Tells one state of a file from another.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Identity {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When they cannot be read, or do not fit.
    pub fn read(files: &Tls) -> Result<Self> {
        let stamps = stamps(files);
        let current = Current::read(files)?;
        current.say_end(files);
        let state = State { looked: Instant::now(), stamps, current };
        Ok(Self { files: files.clone(), state: Mutex::new(state) })
    }

    /// What speaks TLS for the next connection, with the files as they are now.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current().acceptor
    }

    /// Whether the certificate is for a host of this name or address.
    pub fn is_for(&self, host: &str) -> bool {
        let own = self.current().own;
        let (Ok(certificate), Ok(name)) = (ParsedCertificate::try_from(&own), ServerName::try_from(host))
        else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }

    /// SHA-256 of the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.current().own)
    }

    /// Reads the files anew if they have changed. The old ones do until the new ones fit each other.
    fn current(&self) -> Current {
        let mut state = lock(&self.state);
        if state.looked.elapsed() < LOOK {
            return state.current.clone();
        }
        state.looked = Instant::now();
        let stamps = stamps(&self.files);
        if stamps != state.stamps {
            let path = self.files.certificate.display();
            match Current::read(&self.files) {
                Ok(current) => {
                    tracing::info!(certificate = %path, "the certificate was read anew");
                    current.say_end(&self.files);
                    state.current = current;
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(certificate = %path, error, "the new certificate cannot be used; the old one goes on");
                }
            }
            state.stamps = stamps;
        }
        state.current.clone()
    }
}

impl Current {
    fn read(files: &Tls) -> Result<Self> {
        let path = files.certificate.display();
        let what = || format!("certificate = \"{path}\"");
        let chain = CertificateDer::pem_file_iter(&files.certificate).with_context(what)?;
        let chain: Vec<_> = chain.collect::<Result<_, _>>().with_context(what)?;
        ensure!(!chain.is_empty(), "certificate = \"{path}\" holds no certificate in PEM");
        let what = || format!("key = \"{}\"", files.key.display());
        secret::not_for_everybody(&fs::metadata(&files.key).with_context(what)?, &files.key)
            .with_context(what)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).with_context(what)?;
        let own = chain[0].clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&own)
            .with_context(|| format!("certificate = \"{path}\" cannot be read"))?;
        let ends = Timestamp::from_second(parsed.validity().not_after.timestamp())?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("certificate = \"{path}\" and its key cannot be used"))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), own, ends })
    }

    /// Tells Prometheus when the certificate ends, and the log when that is soon.
    fn say_end(&self, files: &Tls) {
        let path = files.certificate.display().to_string();
        metrics::gauge!("nervelight_certificate_end_timestamp_seconds", "certificate" => path.clone())
            .set(self.ends.as_second() as f64);
        let left = self.ends.duration_since(Timestamp::now());
        if left < SOON {
            let words = if left.is_negative() { "has ended" } else { "ends soon" };
            tracing::warn!(certificate = path, ends = %self.ends, "the certificate {words}; put a new one in its place");
        }
    }
}

/// SHA-256 of a certificate in DER, as browsers show it.
pub fn fingerprint(certificate: &[u8]) -> String {
    let digest = sha256(certificate).to_uppercase();
    let bytes: Vec<_> = (0..digest.len()).step_by(2).map(|at| &digest[at..at + 2]).collect();
    bytes.join(":")
}

fn stamps(files: &Tls) -> [Stamp; 2] {
    let stamp = |path: &Path| {
        let about = path.metadata().ok()?;
        Some((about.ino(), about.mtime(), about.mtime_nsec(), about.len()))
    };
    [stamp(&files.certificate), stamp(&files.key)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path, hosts: &[&str]) -> Tls {
        let files = Tls { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(hosts).unwrap();
        secret::write(&files.key, made.signing_key.serialize_pem().as_bytes()).unwrap();
        secret::write(&files.certificate, made.cert.pem().as_bytes()).unwrap();
        files
    }

    #[test]
    fn a_certificate_knows_its_names_and_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let files = made(folder.path(), &["cart7.hospital", "10.0.0.7"]);
        let identity = Identity::read(&files).unwrap();
        for (host, is_named) in [
            ("cart7.hospital", true),
            ("10.0.0.7", true),
            ("10.0.0.8", false),
            ("evil.example", false),
            ("", false),
        ] {
            assert_eq!(identity.is_for(host), is_named, "{host}");
        }
        let before = identity.fingerprint();
        assert_eq!((before.len(), before.matches(':').count()), (95, 31));
        let later = || lock(&identity.state).looked = Instant::now().checked_sub(LOOK).unwrap();
        fs::write(&files.certificate, "damaged").unwrap();
        later();
        assert_eq!(identity.fingerprint(), before, "the old one goes on");
        made(folder.path(), &["cart8.hospital"]);
        later();
        assert!(identity.is_for("cart8.hospital") && !identity.is_for("cart7.hospital"));
        assert_ne!(identity.fingerprint(), before);
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = made(folder.path(), &["a"]);
        let other = tempfile::tempdir().unwrap();
        let others = made(other.path(), &["a"]);
        let said = |files: &Tls| format!("{:#}", Identity::read(files).err().unwrap());
        let mixed = Tls { certificate: files.certificate.clone(), key: others.key };
        assert!(said(&mixed).contains("and its key cannot be used"), "{}", said(&mixed));
        let absent = Tls { certificate: files.certificate.clone(), key: folder.path().join("absent") };
        assert!(said(&absent).contains("key = "), "{}", said(&absent));
        fs::write(&files.certificate, "").unwrap();
        assert!(said(&files).contains("holds no certificate"), "{}", said(&files));
    }
}

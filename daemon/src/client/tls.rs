//! Which certificate a cart must have: one with a known fingerprint, one that an authority signed, or, if a person says so,
//! any on the first visit.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use nervelight_engines::digest::sha256;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::client::Address;
use crate::client::address::fingerprint;
use crate::lock::lock;

/// Which certificates are good, where an address names no fingerprint.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that this system trusts.
    System,
    /// Those that an authority in this file signed.
    Authority(PathBuf),
    /// Any: the person asks to see its fingerprint.
    New,
}

/// The certificate that a cart showed, in hexadecimal.
pub type Seen = Arc<Mutex<Option<[u8; 32]>>>;

/// What TLS asks of the cart at `address`; none where that is what this system asks.
///
/// # Errors
/// When the authority's file holds no certificate.
pub fn config(address: &Address, trust: &Trust, seen: &Seen) -> Result<Option<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let pinned = |expected| {
        let verifier = Pinned { expected, seen: seen.clone(), provider: provider.clone() };
        builder.clone().dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
    };
    Ok(match (address.fingerprint, trust) {
        (Some(expected), _) => Some(pinned(Some(expected))),
        (None, Trust::New) => Some(pinned(None)),
        (None, Trust::System) => None,
        (None, Trust::Authority(path)) => {
            let mut roots = RootCertStore::empty();
            let name = || path.display().to_string();
            for certificate in CertificateDer::pem_file_iter(path).with_context(name)? {
                roots.add(certificate.with_context(name)?).with_context(name)?;
            }
            ensure!(!roots.is_empty(), "{}: holds no certificate. Name a file in PEM format", name());
            Some(builder.with_root_certificates(roots).with_no_client_auth())
        }
    })
}

/// Takes one certificate, whoever signed it and whatever name it has; or any, and remembers which it was.
#[derive(Debug)]
struct Pinned {
    expected: Option<[u8; 32]>,
    seen: Seen,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = fingerprint(&sha256(certificate)).map_err(|error| Error::General(error.to_string()))?;
        *lock(&self.seen) = Some(found);
        match self.expected {
            Some(expected) if expected != found => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

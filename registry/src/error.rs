//! Why a registry or a layout could not be used.

use std::io;
use std::path::PathBuf;

use oci_client::errors::{OciDistributionError, OciErrorCode};

/// Why a registry or a layout could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Text that names no place.
    #[error(
        "{text:?} names no place for a bundle: {reason}. Write oci://HOST[:PORT]/REPOSITORY:TAG, or oci:FOLDER:TAG"
    )]
    Place {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file of credentials.
    #[error("{path}: {reason}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Nobody answers, or not in time.
    #[error(
        "registry {host} cannot be reached: {reason}. Check its name, the network and, with TLS, its certificate"
    )]
    Unreachable {
        /// The registry.
        host: String,
        /// The system's or the library's reason.
        reason: String,
    },
    /// The registry does not let this user do it.
    #[error(
        "registry {host} refuses: {reason}. Check the file of credentials, and what that user may do there"
    )]
    Denied {
        /// The registry.
        host: String,
        /// What it says.
        reason: String,
    },
    /// There is no such tag or repository.
    #[error("{0} does not exist. Push a bundle there, or correct the tag")]
    Absent(String),
    /// The registry answers, but does not do what was asked for.
    #[error("registry {host} cannot do this at present: {reason}")]
    Failed {
        /// The registry.
        host: String,
        /// What it says.
        reason: String,
    },
    /// Something else than a bundle.
    #[error("{place} is no model bundle: {reason}. Push bundles there with `nervelight-train push`")]
    Foreign {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Other bytes than the manifest promises.
    #[error("{place} was damaged on its way: {reason}")]
    Damaged {
        /// Where it is.
        place: String,
        /// What differs.
        reason: String,
    },
    /// A folder that is no OCI layout.
    #[error("{path} is no OCI layout: {reason}")]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
}

impl RegistryError {
    /// Whether there is no such tag.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }

    /// Whether the registry did not give what was asked for, and not this machine.
    pub fn is_of_registry(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Denied { .. } | Self::Failed { .. })
    }

    /// What `error` means of `place` in the registry `host`. The addresses in it may hold credentials of a store behind
    /// the registry, and are left out.
    pub(crate) fn of(error: OciDistributionError, host: &str, place: &str) -> Self {
        let host = host.to_owned();
        match error {
            // A registry that asks for a log-in without a token service answers so.
            OciDistributionError::RequestError(error) => match error.status() {
                Some(status) => Self::of_status(host, place, status.as_u16()),
                None => Self::Unreachable { host, reason: chain(&error.without_url()) },
            },
            OciDistributionError::AuthenticationFailure(_) => {
                Self::Denied { host, reason: "it does not take these credentials".into() }
            }
            OciDistributionError::UnauthorizedError { .. } => {
                Self::Denied { host, reason: "it asks for credentials".into() }
            }
            OciDistributionError::ImageManifestNotFoundError(_) => Self::Absent(place.into()),
            OciDistributionError::RegistryError { envelope, .. } => {
                let has =
                    |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
                if has(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]) {
                    return Self::Absent(place.into());
                }
                let reason =
                    envelope.errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(", ");
                match has(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
                    true => Self::Denied { host, reason },
                    false => Self::Failed { host, reason },
                }
            }
            OciDistributionError::ServerError { code, .. } => Self::of_status(host, place, code),
            OciDistributionError::DigestError(error) => {
                Self::Damaged { place: place.into(), reason: error.to_string() }
            }
            error => Self::Failed { host, reason: error.to_string() },
        }
    }

    fn of_status(host: String, place: &str, code: u16) -> Self {
        let reason = format!("HTTP status {code}");
        match code {
            404 => Self::Absent(place.into()),
            401 => Self::Denied { host, reason: format!("{reason}, it asks for other credentials") },
            403 => Self::Denied { host, reason },
            _ => Self::Failed { host, reason },
        }
    }
}

/// An error and its causes, which `Display` alone leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

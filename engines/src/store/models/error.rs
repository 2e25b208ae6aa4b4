use std::io;
use std::path::PathBuf;

use super::state::SCHEMA;
use crate::BundleError;

/// Why the store of models did not do what it was asked; it is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The bundle itself.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A stored bundle cannot be used.
    #[error(
        "{}. The bundle is in the model store: choose another with `nervelightd models use DIGEST`, or remove {path} and \
         deploy it again",
        without_remedy(.reason)
    )]
    Stored {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: BundleError,
    },
    /// A file or folder of the store.
    #[error("model store: {path}: {reason}. Check the folder's owner and free space, or set model.store")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Another process changes it.
    #[error(
        "model store {root}: another process holds it, the running daemon most likely. Ask the daemon over its API, or \
         stop it first"
    )]
    Held {
        /// The store.
        root: PathBuf,
    },
    /// `state.json` says what it cannot.
    #[error(
        "{path} is malformed: {reason}. Move it away; then `nervelightd models use DIGEST` says anew which model runs"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another version wrote the state.
    #[error("{path}: schema {found} is not {SCHEMA}. Use the nervelight version that wrote it")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: String,
    },
    /// An old bundle, or one that cannot say that it is not.
    #[error(
        "{bundle} has {}, and this store accepts none under {floor}: it is older than a model that was kept here. Sign \
         it anew, or go back to a stored bundle with `nervelightd models use`",
        .serial.map_or("no serial".into(), |serial| format!("serial {serial}"))
    )]
    Serial {
        /// The bundle.
        bundle: PathBuf,
        /// Its serial.
        serial: Option<u64>,
        /// The least that is accepted.
        floor: u64,
    },
    /// The disk is too full.
    #[error(
        "model store {root}: {bundle} takes {needed} bytes and {reserve} must stay free, but only {free} are. Remove \
         what is not needed: `nervelightd models prune`, old recordings"
    )]
    Space {
        /// The store.
        root: PathBuf,
        /// The bundle.
        bundle: PathBuf,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that must stay free.
        reserve: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// No such bundle.
    #[error("no bundle {digest:?} is stored. `nervelightd models list` shows those that are")]
    Unknown {
        /// The digest, or its beginning.
        digest: String,
    },
    /// A beginning that several digests have.
    #[error("{digest:?} is the beginning of {count} digests. Give more digits")]
    Ambiguous {
        /// The beginning.
        digest: String,
        /// How many have it.
        count: usize,
    },
    /// What cannot be the beginning of a digest.
    #[error("{digest:?} is no digest: give its first 8 hexadecimal digits or more")]
    NoDigest {
        /// The text.
        digest: String,
    },
    /// It runs already.
    #[error("bundle {digest} is the active one already. There is nothing to change")]
    Active {
        /// Its digest.
        digest: String,
    },
    /// There is no model before this one.
    #[error("no earlier model is stored to go back to. Choose one with `nervelightd models use DIGEST`")]
    NoPrevious,
    /// No model is being tried.
    #[error("no model is on probation")]
    NoProbation,
}

impl ModelsError {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bundle(error) | Self::Stored { reason: error, .. } => error.code(),
            Self::Io { .. } => "store_io",
            Self::Held { .. } => "store_held",
            Self::State { .. } | Self::Schema { .. } => "store_state",
            Self::Serial { .. } => "old_serial",
            Self::Space { .. } => "no_space",
            Self::Unknown { .. } => "unknown_digest",
            Self::Ambiguous { .. } => "ambiguous_digest",
            Self::NoDigest { .. } => "bad_digest",
            Self::Active { .. } => "already_active",
            Self::NoPrevious => "no_previous",
            Self::NoProbation => "no_probation",
        }
    }
}

/// What is wrong, without what to do about a bundle that lies anywhere else.
fn without_remedy(error: &BundleError) -> String {
    let said = error.to_string();
    said.rsplit_once(". ").map_or(said.as_str(), |(wrong, _)| wrong).to_owned()
}

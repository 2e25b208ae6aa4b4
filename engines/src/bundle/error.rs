use std::io;
use std::path::PathBuf;

use super::files::LIMITS;
use super::{Geometry, SCHEMA};
use crate::contract::{HEIGHT, WIDTH};
use crate::store::unpack::UnpackError;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The path or a file under it cannot be read.
    #[error("cannot read {path}: {reason}. Check the path and its permissions")]
    Read {
        /// What was read.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// A file that is no tar.
    #[error("{path} is neither a bundle directory nor a tar of one: {reason}. Copy the bundle again")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: UnpackError,
    },
    /// A FIFO, a device or a link where a file should be.
    #[error(
        "{path}{} is no regular file. Bundles hold files, no links and no devices; copy the bundle again",
        .file.as_ref().map(|file| format!(": {file}")).unwrap_or_default()
    )]
    NotRegular {
        /// The bundle.
        path: PathBuf,
        /// The file in it; none when it is the bundle itself.
        file: Option<String>,
    },
    /// A file that the manifest does not name.
    #[error("{path}: {file:?} is not in the manifest. Remove it, or copy the bundle again")]
    Unlisted {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// A file of another size than the manifest states.
    #[error("{path}: {file} has {found} bytes or more, the manifest says {expected}. Copy the bundle again")]
    Size {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
        /// Bytes read, at most one more than expected.
        found: u64,
        /// Bytes in the manifest.
        expected: u64,
    },
    /// A model file that is not whole in itself.
    #[error("{path}: {file} {reason}. Export the bundle again")]
    ModelFile {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory is no bundle.
    #[error("{path} is not a model bundle: it has no manifest.json. Make one with `nervelight-train export`")]
    NoManifest {
        /// The bundle.
        path: PathBuf,
    },
    /// The manifest is not what a manifest should be.
    #[error("{path}: manifest.json is malformed: {reason}. Export or copy the bundle again")]
    Manifest {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest of another layout.
    #[error("{path}: manifest schema {found} is not {SCHEMA}. Use the nervelight version that exported it")]
    Schema {
        /// The bundle.
        path: PathBuf,
        /// Its schema.
        found: String,
    },
    /// A bundle without a signature.
    #[error(
        "{path} is not signed, and only signed bundles are accepted here (model.require_signature). Sign it with \
         `nervelight-train sign`"
    )]
    Unsigned {
        /// The bundle.
        path: PathBuf,
    },
    /// A signature by somebody else.
    #[error(
        "{path} is signed by none of the keys that are trusted here ({}). Sign it with one of them, or add its key to \
         model.keys", if .known.is_empty() { "there are none" } else { .known }
    )]
    UnknownKey {
        /// The bundle.
        path: PathBuf,
        /// Names of the keys.
        known: String,
    },
    /// A signature that is damaged, or of something else.
    #[error("{path}: manifest.json.minisig {reason}. Copy the bundle again, or sign it again")]
    Signature {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest in the tar is another one than was unpacked.
    #[error("{path} changed while it was read, or has two manifests. Copy the bundle again")]
    Changed {
        /// The bundle.
        path: PathBuf,
    },
    /// A manifest that promises too much.
    #[error(
        "{path} is too large: its manifest names files of {found} bytes; {} in all and {} in one file are accepted. \
         Export a smaller one", LIMITS.bytes, LIMITS.file
    )]
    TooLarge {
        /// The bundle.
        path: PathBuf,
        /// Bytes of all files.
        found: u64,
    },
    /// A model for other frames.
    #[error(
        "{path}: the model takes {}x{} crops, this version takes {WIDTH}x{HEIGHT}. Export a model for that size",
        .found.width, .found.height
    )]
    Geometry {
        /// The bundle.
        path: PathBuf,
        /// Its geometry.
        found: Geometry,
    },
    /// The manifest does not name the file asked for.
    #[error("{path} has no {file}; it has {present}. Choose another precision or export it")]
    NotListed {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
        /// The files it has.
        present: String,
    },
    /// A file that the manifest names is not there.
    #[error("{path}: {file} is missing although the manifest names it. Copy the bundle again")]
    Missing {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// A file was changed.
    #[error(
        "{path}: {file} was changed: its SHA-256 is {found}, the manifest says {expected}. Copy the bundle again"
    )]
    Digest {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
        /// The digest of the bytes.
        found: String,
        /// The digest in the manifest.
        expected: String,
    },
    /// A golden frame is no picture of the contract's size.
    #[error("{path}: golden frame {file} cannot be used: {reason}. Export the bundle again")]
    Golden {
        /// The bundle.
        path: PathBuf,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A nerve that every golden frame has is never shown.
    #[error(
        "{path}: threshold {threshold} and min_area {min_area} show no nerve in any golden frame, although the \
         trainer's maps have regions of up to {largest} pixels. Export the bundle again"
    )]
    Hidden {
        /// The bundle.
        path: PathBuf,
        /// Its threshold.
        threshold: f32,
        /// Its least area.
        min_area: u32,
        /// The largest component at the threshold, or at one half where that is lower.
        largest: usize,
    },
    /// The bundle cannot be written.
    #[error("cannot write the bundle {path}: {reason}")]
    Write {
        /// Where it should be.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
}

impl BundleError {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "unreadable",
            Self::Unpack { .. } | Self::NotRegular { .. } => "bad_archive",
            Self::NoManifest { .. } => "no_bundle",
            Self::Manifest { .. } => "bad_manifest",
            Self::Schema { .. } => "other_schema",
            Self::Geometry { .. } => "other_geometry",
            Self::TooLarge { .. } => "too_large",
            Self::Unsigned { .. } => "unsigned",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Signature { .. } => "bad_signature",
            Self::Unlisted { .. }
            | Self::Size { .. }
            | Self::Missing { .. }
            | Self::Digest { .. }
            | Self::Changed { .. } => "damaged",
            Self::ModelFile { .. } | Self::NotListed { .. } => "bad_model_file",
            Self::Golden { .. } | Self::Hidden { .. } => "bad_golden_frames",
            Self::Write { .. } => "store_io",
        }
    }
}

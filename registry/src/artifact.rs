//! A bundle as an OCI artifact: what a registry keeps of it, and what it says of one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use nervelight_engines::Bundle;
use nervelight_engines::bundle::LARGEST_TAR;
use nervelight_engines::digest::{is_sha256, sha256, sha256_of};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use serde::{Deserialize, Serialize};

use crate::RegistryError;

/// Kind of the artifact, and of its layer: the bundle as a tar.
pub(crate) const BUNDLE: &str = "application/vnd.nervelight.bundle.v1.tar";
/// Kind of its configuration: the bundle's manifest.
const MANIFEST: &str = "application/vnd.nervelight.bundle.manifest.v1+json";
/// The most that is read of an artifact's manifest.
pub(crate) const LARGEST_MANIFEST: u64 = 1 << 20;
/// Names of the annotations.
const NAME: &str = "vnd.nervelight.name";
const VERSION: &str = "vnd.nervelight.version";
const SERIAL: &str = "vnd.nervelight.serial";
const SIGNATURE: &str = "vnd.nervelight.signature";

/// What an artifact's manifest holds of the image specification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OciManifest {
    pub schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: OciDescriptor,
    pub layers: Vec<OciDescriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl OciManifest {
    pub fn new(kind: &str, config: OciDescriptor, layers: Vec<OciDescriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
            artifact_type: Some(kind.into()),
            config,
            layers,
            annotations: BTreeMap::new(),
        }
    }
}

/// A bundle ready to be put into a registry or a layout. Equal bundles make equal artifacts.
#[derive(Debug)]
pub struct Artifact {
    /// Its manifest.
    pub(crate) manifest: Vec<u8>,
    /// `sha256:` and the digest of its manifest.
    pub digest: String,
    /// The bundle's manifest, which is its configuration.
    pub(crate) config: Vec<u8>,
    pub(crate) config_digest: String,
    /// The bundle as a tar, which is its layer.
    pub(crate) tar: File,
    pub(crate) tar_digest: String,
    /// Bytes of the tar.
    pub bytes: u64,
}

impl Artifact {
    /// Of `bundle`, packed as a tar.
    ///
    /// # Errors
    /// When the bundle cannot be read or packed.
    pub fn of(bundle: &Bundle) -> Result<Self, RegistryError> {
        let io = |reason| RegistryError::Io { path: bundle.path.clone(), reason };
        let tar = bundle.tar().map_err(io)?;
        let bytes = tar.metadata().map_err(io)?.len();
        let tar_digest = named(&sha256_of(&tar).map_err(io)?);
        let config = bundle.manifest_text().map_err(io)?;
        let config_digest = named(&sha256(&config));
        let layer = descriptor(BUNDLE, &tar_digest, bytes);
        let mut manifest =
            OciManifest::new(BUNDLE, descriptor(MANIFEST, &config_digest, config.len() as u64), vec![layer]);
        let mut say = |name: &str, value: String| manifest.annotations.insert(name.into(), value);
        say(NAME, bundle.manifest.name.clone());
        say(VERSION, bundle.manifest.version.clone());
        if let Some(serial) = bundle.manifest.serial {
            say(SERIAL, serial.to_string());
        }
        if let Some(signature) = bundle.signature_text().map_err(io)? {
            say(SIGNATURE, signature);
        }
        let manifest = serde_json::to_vec(&manifest).map_err(|error| io(error.into()))?;
        let digest = named(&sha256(&manifest));
        Ok(Self { manifest, digest, config, config_digest, tar, tar_digest, bytes })
    }
}

/// What a registry or a layout says of a bundle. Its signature is not checked yet.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its serial.
    pub serial: Option<u64>,
    /// The bundle's digest: SHA-256 of its manifest, in hexadecimal.
    pub digest: String,
    /// Signature of that manifest, as minisign writes it.
    pub signature: Option<String>,
    /// The tar.
    pub(crate) layer: OciDescriptor,
    /// Bytes of the tar.
    pub bytes: u64,
}

impl Offered {
    /// Reads an artifact's manifest, which is at `place`.
    pub(crate) fn read(manifest: &[u8], place: &str) -> Result<Self, RegistryError> {
        let foreign = |reason: &str| RegistryError::Foreign { place: place.into(), reason: reason.into() };
        let manifest: OciManifest =
            serde_json::from_slice(manifest).map_err(|_| foreign("its manifest is none of an artifact"))?;
        let OciManifest { config, layers, mut annotations, .. } = manifest;
        let [layer] = <[OciDescriptor; 1]>::try_from(layers).map_err(|_| foreign("it has not one layer"))?;
        if layer.media_type != BUNDLE || config.media_type != MANIFEST {
            return Err(foreign(&format!("it is {}", layer.media_type)));
        }
        let digest = digest(&config).ok_or_else(|| foreign("its configuration has no SHA-256"))?.to_owned();
        self::digest(&layer).ok_or_else(|| foreign("its layer has no SHA-256"))?;
        let bytes = u64::try_from(layer.size).ok().filter(|bytes| (1..=LARGEST_TAR).contains(bytes));
        let bytes = bytes.ok_or_else(|| foreign(&format!("its tar has {} bytes", layer.size)))?;
        let mut said = |name: &str| annotations.remove(name);
        let is_plain = |text: &String| text.len() <= 256 && !text.chars().any(char::is_control);
        Ok(Self {
            name: said(NAME).filter(is_plain).unwrap_or_default(),
            version: said(VERSION).filter(is_plain).unwrap_or_default(),
            serial: said(SERIAL).and_then(|serial| serial.parse().ok()),
            signature: said(SIGNATURE),
            digest,
            layer: OciDescriptor { urls: None, ..layer },
            bytes,
        })
    }

    /// SHA-256 of the tar, in hexadecimal.
    pub(crate) fn tar_digest(&self) -> &str {
        digest(&self.layer).unwrap_or_default()
    }

    /// Finds out whether `tar` is the tar that was offered.
    ///
    /// # Errors
    /// When it is not, or cannot be read.
    pub(crate) fn check(&self, tar: &File, place: &str) -> Result<(), RegistryError> {
        let damaged = |reason: String| RegistryError::Damaged { place: place.into(), reason };
        let found =
            sha256_of(tar).map_err(|reason: io::Error| RegistryError::Io { path: place.into(), reason })?;
        match found == self.tar_digest() {
            true => Ok(()),
            false => Err(damaged(format!("its SHA-256 is {found}, not {}", self.tar_digest()))),
        }
    }
}

/// Of these bytes.
pub(crate) fn descriptor(kind: &str, digest: &str, bytes: u64) -> OciDescriptor {
    OciDescriptor {
        media_type: kind.into(),
        digest: digest.into(),
        size: bytes as i64,
        ..OciDescriptor::default()
    }
}

/// The SHA-256 of what a descriptor describes, in hexadecimal.
pub(crate) fn digest(descriptor: &OciDescriptor) -> Option<&str> {
    let hex = descriptor.digest.strip_prefix("sha256:")?;
    is_sha256(hex).then_some(hex)
}

/// A digest as registries write it.
pub(crate) fn named(hex: &str) -> String {
    format!("sha256:{hex}")
}

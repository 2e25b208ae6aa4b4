//! What is known of a bundle before anything of it is unpacked: its manifest, and who signed that.

use std::io::{self, Read, Write};
use std::path::Path;

use super::signature::{self, LARGEST_SIGNATURE, Refusal, Trust};
use super::{Bundle, BundleError, Geometry, MANIFEST, Manifest, SCHEMA, SIGNATURE, files};
use super::{is_folder, unreadable};
use crate::digest::sha256;
use crate::store::disk;
use crate::store::unpack::{self, Limits, UnpackError};

/// The manifest of a bundle, with a signature that was checked.
#[derive(Debug)]
pub struct Head {
    /// The manifest, which may not fit the files yet.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub digest: String,
    /// Name of the key that signed it; none where it is not signed, or the key is not known.
    pub signer: Option<String>,
    /// Bytes of all files.
    pub bytes: u64,
}

/// The two files, as read.
pub struct Pages {
    manifest: Vec<u8>,
    signature: Option<Vec<u8>>,
}

impl Pages {
    /// Of the bundle in the folder `root`.
    pub fn of_folder(path: &Path, root: &Path) -> Result<Self, BundleError> {
        let manifest = match files::read(root, MANIFEST, files::LARGEST_MANIFEST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(BundleError::NoManifest { path: path.into() });
            }
            Err(e) => return Err(unreadable(path.into(), MANIFEST, e)),
        };
        let signature = match files::read(root, SIGNATURE, LARGEST_SIGNATURE) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(unreadable(path.into(), SIGNATURE, e)),
        };
        Ok(Self { manifest, signature })
    }

    /// Of the bundle in the tar at `path`, of which only headers and these two are read; none when it has no manifest.
    /// In a tar that `nervelight-train` made they come first, and nothing after them is looked at.
    pub fn of_tar(path: &Path) -> Result<Option<Self>, UnpackError> {
        let (mut manifest, mut signature) = (None, None);
        let mut archive = tar::Archive::new(io::BufReader::new(disk::open(path)?));
        // Raw: names that are entries of their own would be held in memory, and are longer than these two.
        for entry in archive.entries_with_seek()?.raw(true).take(files::LIMITS.entries) {
            let entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path()?.into_owned();
            let (page, limit) = match files::in_root(&name) {
                Some(MANIFEST) => (&mut manifest, files::LARGEST_MANIFEST),
                Some(SIGNATURE) => (&mut signature, LARGEST_SIGNATURE),
                _ => continue,
            };
            if page.is_some() {
                return Err(UnpackError::Twice(name));
            }
            let mut bytes = vec![];
            entry.take(limit + 1).read_to_end(&mut bytes)?;
            *page = Some(bytes);
            if manifest.is_some() && signature.is_some() {
                break;
            }
        }
        Ok(manifest.map(|manifest| Self { manifest, signature }))
    }
}

impl Head {
    /// Reads the head of the bundle directory or tar at `path`.
    ///
    /// # Errors
    /// Those of [`Self::check`]; when there is no manifest, or no bundle.
    pub fn read(path: &Path, trust: Trust<'_>) -> Result<Self, BundleError> {
        if is_folder(path)? {
            return Self::check(path, &Pages::of_folder(path, path)?, trust);
        }
        let unreadable = |reason| BundleError::Unpack { path: path.into(), reason };
        let Some(pages) = Pages::of_tar(path).map_err(unreadable)? else {
            // What else is wrong with it says more than that.
            unpack::examine(path, &files::LIMITS).map_err(unreadable)?;
            return Err(BundleError::NoManifest { path: path.into() });
        };
        Self::check(path, &pages, trust)
    }

    /// Checks the pages of the bundle at `path`: the signature first, then schema, manifest and geometry.
    ///
    /// # Errors
    /// The first of them that is not accepted.
    pub fn check(path: &Path, pages: &Pages, trust: Trust<'_>) -> Result<Self, BundleError> {
        let Pages { manifest: text, signature } = pages;
        let bundle = || path.to_path_buf();
        let digest = sha256(text);
        let signer =
            signature::signer(text, &digest, signature.as_deref(), trust).map_err(|why| match why {
                Refusal::Unsigned => BundleError::Unsigned { path: bundle() },
                Refusal::UnknownKey => {
                    let known = trust.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ");
                    BundleError::UnknownKey { path: bundle(), known }
                }
                Refusal::Bad(reason) => BundleError::Signature { path: bundle(), reason },
            })?;
        let malformed = |reason: String| BundleError::Manifest { path: bundle(), reason };
        if text.len() as u64 > files::LARGEST_MANIFEST {
            return Err(malformed(format!("it has more than {} bytes", files::LARGEST_MANIFEST)));
        }
        // The schema first: a later layout should be called that, not malformed.
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| malformed(e.to_string()))?;
        if value["schema"] != SCHEMA {
            return Err(BundleError::Schema { path: bundle(), found: value["schema"].to_string() });
        }
        let manifest = Manifest::read(text).map_err(malformed)?;
        if manifest.geometry != Geometry::default() {
            return Err(BundleError::Geometry { path: bundle(), found: manifest.geometry });
        }
        let own = text.len() + signature.as_ref().map_or(0, Vec::len);
        let bytes = manifest.files.values().fold(own as u64, |sum, file| sum.saturating_add(file.bytes));
        let is_large = |bytes: u64| bytes > files::LIMITS.file;
        if bytes > files::LIMITS.bytes || manifest.files.values().any(|file| is_large(file.bytes)) {
            return Err(BundleError::TooLarge { path: bundle(), found: bytes });
        }
        Ok(Self { manifest, digest, signer, bytes })
    }

    /// What the bundle's tar may hold: no more than its manifest says.
    pub(super) fn limits(&self) -> Limits {
        Limits { bytes: self.bytes.min(files::LIMITS.bytes), ..files::LIMITS }
    }

    /// That `bundle` is what this was the head of.
    ///
    /// # Errors
    /// When it is another one.
    pub(super) fn is_of(&self, bundle: &Bundle) -> Result<(), BundleError> {
        if self.digest == bundle.digest {
            return Ok(());
        }
        Err(BundleError::Changed { path: bundle.path.clone() })
    }

    /// Copies the bundle's files from the folder `from` to the folder `to`.
    ///
    /// # Errors
    /// When one cannot be read or written.
    pub(super) fn copy(&self, from: &Path, to: &Path) -> Result<(), BundleError> {
        let named = self.manifest.files.iter().map(|(name, file)| (name.as_str(), file.bytes));
        let own = [(MANIFEST, files::LARGEST_MANIFEST), (SIGNATURE, LARGEST_SIGNATURE)];
        for (name, limit) in named.chain(own) {
            let bytes = match files::read(from, name, limit.min(files::LIMITS.file)) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(unreadable(from.into(), name, e)),
            };
            let place = to.join(name);
            let write = || {
                disk::create_folders(place.parent().unwrap_or(to))?;
                disk::create_new(&place)?.write_all(&bytes)
            };
            write().map_err(|reason| BundleError::Write { path: place.clone(), reason })?;
        }
        Ok(())
    }
}

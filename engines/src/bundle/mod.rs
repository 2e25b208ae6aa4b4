//! Model bundles: a directory, or the same as one tar, whose every byte is accounted for.
//!
//! ```text
//! manifest.json    what the model is, where it comes from, SHA-256 of every other file
//! fp32.onnx        the model; fp16.onnx and int8-*.onnx beside it where they were exported
//! golden/          crops and the fp32 map expected for each
//! ```

mod draft;
mod error;
mod external;
mod files;
mod manifest;
mod pack;

use std::fs;
use std::io;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::contract::{HEIGHT, Plane, WIDTH, plane};
use crate::digest::sha256;
use crate::store::unpack::{self, UnpackError};

pub use draft::Draft;
pub use error::BundleError;
pub use manifest::{FileDigest, Geometry, Manifest, Provenance, SCHEMA, threshold_byte};

/// Bytes of a bundle as a tar, at most.
pub const LARGEST_TAR: u64 = files::LIMITS.bytes + (files::LIMITS.entries as u64) * 2048;

const MANIFEST: &str = "manifest.json";

/// A crop with the fp32 map that the trainer computed for it.
#[derive(Debug)]
pub struct Golden {
    /// Name of the frame in the bundle.
    pub name: String,
    /// Full-range luma.
    pub crop: Box<Plane>,
    /// Probability x 255.
    pub map: Box<Plane>,
}

/// A bundle whose every file was found and has the digest that the manifest states.
#[derive(Debug)]
pub struct Bundle {
    /// The manifest as read.
    pub manifest: Manifest,
    /// SHA-256 of the manifest, in hexadecimal: it covers every file through the digests inside.
    pub digest: String,
    /// The directory or tar it was opened from.
    pub path: PathBuf,
    root: PathBuf,
    /// Holds what a tar was unpacked into.
    _unpacked: Option<TempDir>,
}

impl Bundle {
    /// Opens a bundle directory or tar and checks every digest.
    ///
    /// # Errors
    /// [`BundleError`], naming the file that is missing, changed or malformed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BundleError> {
        let path = path.into();
        let meta = fs::metadata(&path).map_err(|e| BundleError::Read { path: path.clone(), source: e })?;
        if meta.is_dir() {
            let root = path.clone();
            return Self::open_dir(path, root, None);
        }
        if !meta.is_file() {
            return Err(BundleError::NotRegular { path, file: None });
        }
        let unpack = || -> Result<TempDir, UnpackError> {
            let directory = tempfile::Builder::new().prefix("nervelight-bundle-").tempdir()?;
            unpack::unpack(&path, directory.path(), &files::LIMITS)?;
            Ok(directory)
        };
        let unpacked = unpack().map_err(|source| BundleError::Unpack { path: path.clone(), source })?;
        let root = files::root(unpacked.path());
        Self::open_dir(path, root, Some(unpacked))
    }

    fn open_dir(path: PathBuf, root: PathBuf, unpacked: Option<TempDir>) -> Result<Self, BundleError> {
        let text = match files::read(&root, MANIFEST, files::LARGEST_MANIFEST) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BundleError::NoManifest { path }),
            Err(e) => return Err(unreadable(path, MANIFEST, e)),
        };
        let malformed = |reason: String| BundleError::Manifest { path: path.clone(), reason };
        // The schema first: a later layout should be called that, not malformed.
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        if value["schema"] != SCHEMA {
            return Err(BundleError::Schema { path, found: value["schema"].to_string() });
        }
        let manifest = Manifest::read(&text).map_err(malformed)?;
        if manifest.geometry != Geometry::default() {
            return Err(BundleError::Geometry { path, found: manifest.geometry });
        }
        let listed = |name: &str| name == MANIFEST || manifest.files.contains_key(name);
        if let Some(file) = files::unlisted(&root, listed).map_err(|e| unreadable(path.clone(), "", e))? {
            return Err(BundleError::Unlisted { path, file });
        }
        let bundle = Self { manifest, digest: sha256(&text), path, root, _unpacked: unpacked };
        for name in bundle.manifest.files.keys() {
            bundle.read(name)?;
        }
        Ok(bundle)
    }

    /// `name version` of the model.
    pub fn model(&self) -> String {
        format!("{} {}", self.manifest.name, self.manifest.version)
    }

    /// Reads one of the bundle's files and checks its digest on the very bytes returned.
    ///
    /// # Errors
    /// When the file is not in the manifest, is missing or has another digest.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, BundleError> {
        let bundle = || self.path.clone();
        let Some(expected) = self.manifest.files.get(name) else {
            let present = self.manifest.files.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(BundleError::NotListed { path: bundle(), file: name.into(), present });
        };
        let limit = expected.bytes.min(files::LIMITS.file);
        let bytes = files::read(&self.root, name, limit).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => BundleError::Missing { path: bundle(), file: name.into() },
            _ => unreadable(bundle(), name, e),
        })?;
        if bytes.len() as u64 != expected.bytes {
            let (found, expected) = (bytes.len() as u64, expected.bytes);
            return Err(BundleError::Size { path: bundle(), file: name.into(), found, expected });
        }
        let found = sha256(&bytes);
        if found != expected.sha256 {
            let expected = expected.sha256.clone();
            return Err(BundleError::Digest { path: bundle(), file: name.into(), found, expected });
        }
        Ok(bytes)
    }

    /// Reads a model file, which holds all that it computes with: external data is in no digest.
    ///
    /// # Errors
    /// The errors of [`Bundle::read`]; when the file refers to others or is no ONNX file.
    pub fn model_file(&self, name: &str) -> Result<Vec<u8>, BundleError> {
        let bytes = self.read(name)?;
        match external::check(&bytes) {
            Ok(()) => Ok(bytes),
            Err(reason) => Err(BundleError::ModelFile { path: self.path.clone(), file: name.into(), reason }),
        }
    }

    /// The golden frames, in the order of their names.
    ///
    /// # Errors
    /// When one cannot be read or has another size than the contract's.
    pub fn golden(&self) -> Result<Vec<Golden>, BundleError> {
        let names = self.manifest.files.keys();
        let stems = names.filter_map(|n| n.strip_prefix("golden/")?.strip_suffix(".crop.png"));
        stems
            .map(|stem| {
                Ok(Golden {
                    name: stem.into(),
                    crop: self.read_plane(&format!("golden/{stem}.crop.png"))?,
                    map: self.read_plane(&format!("golden/{stem}.map.png"))?,
                })
            })
            .collect()
    }

    fn read_plane(&self, name: &str) -> Result<Box<Plane>, BundleError> {
        let fail =
            |reason: String| BundleError::Golden { path: self.path.clone(), file: name.into(), reason };
        let picture = image::load_from_memory_with_format(&self.read(name)?, image::ImageFormat::Png)
            .map_err(|e| fail(e.to_string()))?;
        let image::DynamicImage::ImageLuma8(luma) = picture else {
            return Err(fail("it is not 8-bit grayscale".into()));
        };
        if luma.dimensions() != (WIDTH as u32, HEIGHT as u32) {
            return Err(fail(format!("it is {}x{}, not {WIDTH}x{HEIGHT}", luma.width(), luma.height())));
        }
        let mut bytes = plane();
        bytes.copy_from_slice(luma.as_raw());
        Ok(bytes)
    }
}

fn unreadable(path: PathBuf, file: &str, error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::InvalidInput => BundleError::NotRegular { path, file: Some(file.into()) },
        _ => BundleError::Read { path: path.join(file), source: error },
    }
}

//! Model bundles: a directory, or the same as one tar, whose every byte is accounted for.
//!
//! ```text
//! manifest.json    what the model is, where it comes from, SHA-256 of every other file
//! manifest.json.minisig    minisign's signature of that, where it was signed
//! fp32.onnx        the model; fp16.onnx and int8-*.onnx beside it where they were exported
//! golden/          crops and the fp32 map expected for each
//! ```

mod draft;
mod error;
mod external;
mod files;
mod head;
mod manifest;
mod pack;
mod signature;

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::contract::{HEIGHT, Plane, WIDTH, plane};
use crate::digest::sha256;
use crate::store::disk::{self, Kind};
use crate::store::unpack::{self, UnpackError};

pub use draft::Draft;
pub use error::BundleError;
pub use head::Head;
use head::Pages;
pub use manifest::{FileDigest, Geometry, Manifest, Provenance, SCHEMA, threshold_byte};
pub use signature::{DIGEST_MARK, KeyError, PublicKey, Trust};

/// Bytes of a bundle as a tar, at most.
pub const LARGEST_TAR: u64 = files::LIMITS.bytes + (files::LIMITS.entries as u64) * 2048;

const MANIFEST: &str = "manifest.json";
/// The name that minisign gives to the signature of [`MANIFEST`].
const SIGNATURE: &str = "manifest.json.minisig";

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
    /// Name of the key that signed it; none where it is not signed, or the key is not known.
    pub signer: Option<String>,
    /// The directory or tar it was opened from.
    pub path: PathBuf,
    root: PathBuf,
    /// Holds what a tar was unpacked into.
    _unpacked: Option<TempDir>,
}

impl Bundle {
    /// Opens a bundle directory or tar and checks every digest, whoever signed it.
    ///
    /// # Errors
    /// [`BundleError`], naming the file that is missing, changed or malformed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BundleError> {
        Self::open_with(path.into(), Trust::ANYBODY)
    }

    /// The same of a bundle that one of `keys` signed, or must have signed if that is `required`. The signature is checked
    /// before anything is unpacked.
    ///
    /// # Errors
    /// Those of [`Self::open`], and why the signature is not accepted.
    pub fn open_trusted(
        path: impl Into<PathBuf>,
        keys: &[PublicKey],
        required: bool,
    ) -> Result<Self, BundleError> {
        Self::open_with(path.into(), Trust { keys, required })
    }

    fn open_with(path: PathBuf, trust: Trust<'_>) -> Result<Self, BundleError> {
        if is_folder(&path)? {
            let root = path.clone();
            return Self::open_folder(path, root, None, trust);
        }
        let head = Head::read(&path, trust)?;
        let unpack = || -> Result<TempDir, UnpackError> {
            let directory = tempfile::Builder::new().prefix("nervelight-bundle-").tempdir()?;
            unpack::unpack(&path, directory.path(), &head.limits())?;
            Ok(directory)
        };
        let unpacked = unpack().map_err(|reason| BundleError::Unpack { path: path.clone(), reason })?;
        let root = files::root(unpacked.path());
        let bundle = Self::open_folder(path, root, Some(unpacked), trust)?;
        head.is_of(&bundle)?;
        Ok(bundle)
    }

    fn open_folder(
        path: PathBuf,
        root: PathBuf,
        unpacked: Option<TempDir>,
        trust: Trust<'_>,
    ) -> Result<Self, BundleError> {
        let Head { manifest, digest, signer, .. } =
            Head::check(&path, &Pages::of_folder(&path, &root)?, trust)?;
        let listed = |name: &str| name == MANIFEST || name == SIGNATURE || manifest.files.contains_key(name);
        if let Some(file) = files::unlisted(&root, listed).map_err(|e| unreadable(path.clone(), "", e))? {
            return Err(BundleError::Unlisted { path, file });
        }
        let bundle = Self { manifest, digest, signer, path, root, _unpacked: unpacked };
        for name in bundle.manifest.files.keys() {
            bundle.read(name)?;
        }
        Ok(bundle)
    }

    /// Unpacks the tar at `path`, or copies the directory, into the empty folder `place`, and opens the bundle there.
    ///
    /// # Errors
    /// Those of [`Self::open_trusted`].
    pub fn unpack_into(place: &Path, path: &Path, trust: Trust<'_>) -> Result<Self, BundleError> {
        let failed = |reason: UnpackError| BundleError::Unpack { path: path.into(), reason };
        let head = Head::read(path, trust)?;
        if is_folder(path)? {
            head.copy(path, place)?;
        } else {
            unpack::unpack(path, place, &head.limits()).map_err(failed)?;
        }
        let bundle = Self::open_folder(path.into(), files::root(place), None, trust)?;
        head.is_of(&bundle)?;
        Ok(bundle)
    }

    /// The folder in which its files lie.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is a signature, of whoever.
    pub fn is_signed(&self) -> bool {
        disk::kind(&self.root.join(SIGNATURE)).is_ok()
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

/// Whether it is a folder and no file. Links are followed: what a person names may be one.
fn is_folder(path: &Path) -> Result<bool, BundleError> {
    let kind = disk::kind_behind(path).map_err(|e| BundleError::Read { path: path.into(), reason: e })?;
    match kind {
        Kind::Folder => Ok(true),
        Kind::File => Ok(false),
        Kind::Other => Err(BundleError::NotRegular { path: path.into(), file: None }),
    }
}

fn unreadable(path: PathBuf, file: &str, error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::InvalidInput => BundleError::NotRegular { path, file: Some(file.into()) },
        _ => BundleError::Read { path: path.join(file), reason: error },
    }
}

//! Writing a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::{Bundle, BundleError, FileDigest, Golden, MANIFEST, Manifest, SIGNATURE, pack};
use crate::contract::{HEIGHT, Plane, WIDTH};
use crate::digest::sha256;
use crate::store::atomic::{self, Access};
use crate::store::disk;

/// A bundle being put together; [`Draft::write`] makes it appear whole or not at all.
#[derive(Debug)]
pub struct Draft {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

/// Makes a signature of a manifest.
type Signing<'a> = &'a dyn Fn(&[u8]) -> io::Result<Vec<u8>>;

impl Draft {
    /// What `bundle` holds, to be written anew. Nothing is signed in it.
    ///
    /// # Errors
    /// When one of its files cannot be read.
    pub fn of(bundle: &Bundle) -> Result<Self, BundleError> {
        let manifest = bundle.manifest.clone();
        let read = |name: &String| Ok((name.clone(), bundle.read(name)?));
        let files = manifest.files.keys().map(read).collect::<Result<_, BundleError>>()?;
        Ok(Self { manifest, files })
    }

    /// What it says of itself.
    pub fn manifest(&mut self) -> &mut Manifest {
        &mut self.manifest
    }

    /// Starts a bundle; `manifest.files` is filled in by [`Draft::write`].
    pub fn new(manifest: Manifest) -> Self {
        Self { manifest, files: BTreeMap::new() }
    }

    /// Adds a file, such as `fp32.onnx`.
    pub fn file(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.files.insert(name.into(), bytes);
    }

    /// Adds a golden frame as two PNG files.
    ///
    /// # Errors
    /// When the PNG encoder fails.
    pub fn golden(&mut self, golden: &Golden) -> Result<(), image::ImageError> {
        for (kind, plane) in [("crop", &golden.crop), ("map", &golden.map)] {
            self.files.insert(format!("golden/{}.{kind}.png", golden.name), png(plane)?);
        }
        Ok(())
    }

    /// Writes the bundle: a tar if `path` ends in `.tar`, a directory otherwise. It is built beside
    /// its place and renamed, so that a power cut leaves nothing half-written.
    ///
    /// # Errors
    /// When `path` exists already or the disk refuses.
    pub fn write(self, path: &Path) -> Result<Bundle, BundleError> {
        self.write_with(path, None)
    }

    /// The same, with the signature that `sign` makes of the manifest.
    ///
    /// # Errors
    /// The errors of [`Self::write`], and of `sign`.
    pub fn write_signed(
        self,
        path: &Path,
        sign: impl Fn(&[u8]) -> io::Result<Vec<u8>>,
    ) -> Result<Bundle, BundleError> {
        self.write_with(path, Some(&sign))
    }

    fn write_with(mut self, path: &Path, sign: Option<Signing<'_>>) -> Result<Bundle, BundleError> {
        let fail = |reason| BundleError::Write { path: path.into(), reason };
        if path.exists() {
            return Err(fail(io::ErrorKind::AlreadyExists.into()));
        }
        for (name, bytes) in &self.files {
            let digest = FileDigest { sha256: sha256(bytes), bytes: bytes.len() as u64 };
            self.manifest.files.insert(name.clone(), digest);
        }
        let manifest = serde_json::to_vec_pretty(&self.manifest).map_err(|e| fail(e.into()))?;
        if let Some(sign) = sign {
            self.files.insert(SIGNATURE.into(), sign(&manifest).map_err(fail)?);
        }
        self.files.insert(MANIFEST.into(), manifest);

        let parent = atomic::directory(path);
        fs::create_dir_all(parent).map_err(fail)?;
        if path.extension().is_some_and(|e| e == "tar") {
            atomic::write_with(path, Access::Umask, |file| self.write_tar(file)).map_err(fail)?;
        } else {
            let temporary = tempfile::Builder::new().prefix(".bundle-").tempdir_in(parent).map_err(fail)?;
            self.write_dir(temporary.path()).map_err(fail)?;
            fs::rename(temporary.path(), path).map_err(fail)?;
            // It has another name now.
            let _ = temporary.keep();
            disk::sync(parent).map_err(fail)?;
        }
        Bundle::open(path)
    }

    fn write_dir(&self, root: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        // A temporary directory is private; a bundle is for everybody to read.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
        for (name, bytes) in &self.files {
            let path = root.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = fs::File::create(path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        // A name that is not on the disk is lost with the power, whatever it named.
        let directories: BTreeSet<&Path> =
            self.files.keys().filter_map(|name| Path::new(name).parent()).collect();
        directories.into_iter().try_for_each(|directory| disk::sync(&root.join(directory)))
    }

    /// The manifest and its signature come first: what they say is known before anything is unpacked.
    fn write_tar(&self, file: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(file);
        let is_first = |name: &&String| [MANIFEST, SIGNATURE].contains(&name.as_str());
        let first = self.files.iter().filter(|(name, _)| is_first(name));
        let rest = self.files.iter().filter(|(name, _)| !is_first(name));
        for (name, bytes) in first.chain(rest) {
            pack::append(&mut tar, name, bytes)?;
        }
        tar.finish()
    }
}

fn png(plane: &Plane) -> Result<Vec<u8>, image::ImageError> {
    use image::ImageEncoder;
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive).write_image(
        plane,
        WIDTH as u32,
        HEIGHT as u32,
        image::ExtendedColorType::L8,
    )?;
    Ok(bytes)
}

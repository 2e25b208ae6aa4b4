//! Model bundles: a directory, or the same as one tar, whose every byte is accounted for.
//!
//! ```text
//! manifest.json    what the model is, where it comes from, sha256 of every other file
//! fp32.onnx        the model; fp16.onnx and int8-*.onnx beside it where they were exported
//! golden/          crops and the fp32 map expected for each
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::contract::{HEIGHT, Plane, WIDTH, plane};
use crate::golden::Golden;

/// The manifest's layout that this version reads and writes.
pub const SCHEMA: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of this file, [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// Size of crop and map in pixels.
    pub geometry: Geometry,
    /// Least probability that counts as nerve, 0..1.
    pub threshold: f32,
    /// Least area in pixels of a nerve; smaller regions are noise.
    pub min_area: u32,
    /// What the map shows.
    pub class: String,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// Every other file of the bundle, by its path relative to the bundle.
    #[serde(default)]
    pub files: BTreeMap<String, FileDigest>,
}

impl Manifest {
    /// Of a model of the contract's geometry that shows nerves, at threshold 0.5 with regions of any area;
    /// nothing is said of its origin, and there are no files yet.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            name: name.into(),
            version: version.into(),
            geometry: Geometry::default(),
            threshold: 0.5,
            min_area: 1,
            class: "nerve".into(),
            provenance: Provenance::default(),
            files: BTreeMap::new(),
        }
    }

    /// The threshold on a map's bytes: probability x 255, rounded up to the next byte, so that
    /// `byte >= threshold_byte()` never counts a probability under the threshold.
    pub fn threshold_byte(&self) -> u8 {
        threshold_byte(self.threshold)
    }
}

/// See [`Manifest::threshold_byte`].
pub fn threshold_byte(threshold: f32) -> u8 {
    (threshold * 255.0).ceil().clamp(1.0, 255.0) as u8
}

/// Size of crop and map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Default for Geometry {
    fn default() -> Self {
        Self { width: WIDTH, height: HEIGHT }
    }
}

/// Where a model comes from: enough to train it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The network's name and width, such as `vgg16-fcn x0.25`.
    pub network: String,
    /// sha256 over the names and contents of the training data, and over the digest of its
    /// corrections where it has any.
    pub data_digest: String,
    /// sha256 of the file of corrections that were applied to the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrections_digest: Option<String>,
    /// sha256 of the split into training and validation.
    pub split_digest: String,
    /// The run's seed.
    pub seed: u64,
    /// Revision of the code that trained it.
    pub revision: String,
    /// The command that made the bundle.
    pub command: String,
    /// Figures on the validation data, by name.
    pub metrics: BTreeMap<String, f64>,
}

/// sha256 and size of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Hexadecimal, lower case.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// A bundle whose every file was found and has the digest that the manifest states.
#[derive(Debug)]
pub struct Bundle {
    /// The manifest as read.
    pub manifest: Manifest,
    /// sha256 of the manifest, hexadecimal: it covers every file through the digests inside.
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
        let unpacked = unpack(&path).map_err(|e| BundleError::Unpack { path: path.clone(), source: e })?;
        let root = unpacked.path().to_path_buf();
        Self::open_dir(path, root, Some(unpacked))
    }

    fn open_dir(path: PathBuf, root: PathBuf, unpacked: Option<TempDir>) -> Result<Self, BundleError> {
        let manifest_path = root.join(MANIFEST);
        let text = match fs::read(&manifest_path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BundleError::NoManifest { path }),
            Err(source) => return Err(BundleError::Read { path: manifest_path, source }),
        };
        let malformed = |reason: String| BundleError::Manifest { path: path.clone(), reason };
        // The schema first: a later layout should be called that, not malformed.
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        if value["schema"] != SCHEMA {
            return Err(BundleError::Schema { path, found: value["schema"].to_string() });
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        if manifest.geometry != Geometry::default() {
            return Err(BundleError::Geometry { path, found: manifest.geometry });
        }
        if !(0.0..=1.0).contains(&manifest.threshold) {
            return Err(malformed(format!("threshold {} is not a probability", manifest.threshold)));
        }
        if let Some(name) = manifest.files.keys().find(|name| !is_plain(name)) {
            return Err(malformed(format!("file name {name:?} leaves the bundle")));
        }
        let bundle = Self { manifest, digest: hex(&text), path, root, _unpacked: unpacked };
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
        let bytes = fs::read(self.root.join(name)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => BundleError::Missing { path: bundle(), file: name.into() },
            _ => BundleError::Read { path: self.root.join(name), source: e },
        })?;
        let found = hex(&bytes);
        if found != expected.sha256 {
            let expected = expected.sha256.clone();
            return Err(BundleError::Digest { path: bundle(), file: name.into(), found, expected });
        }
        Ok(bytes)
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

/// A bundle being put together; [`Draft::write`] makes it appear whole or not at all.
#[derive(Debug)]
pub struct Draft {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Draft {
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
    pub fn write(mut self, path: &Path) -> Result<Bundle, BundleError> {
        let fail = |source| BundleError::Write { path: path.into(), source };
        if path.exists() {
            return Err(fail(io::ErrorKind::AlreadyExists.into()));
        }
        for (name, bytes) in &self.files {
            let digest = FileDigest { sha256: hex(bytes), bytes: bytes.len() as u64 };
            self.manifest.files.insert(name.clone(), digest);
        }
        let manifest = serde_json::to_vec_pretty(&self.manifest).map_err(|e| fail(e.into()))?;
        self.files.insert(MANIFEST.into(), manifest);

        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(fail)?;
        let temporary = tempfile::Builder::new().prefix(".bundle-").tempdir_in(parent).map_err(fail)?;
        if path.extension().is_some_and(|e| e == "tar") {
            let file = temporary.path().join("bundle.tar");
            self.write_tar(&file).and_then(|()| fs::rename(&file, path)).map_err(fail)?;
        } else {
            self.write_dir(temporary.path()).map_err(fail)?;
            fs::rename(temporary.keep(), path).map_err(fail)?;
        }
        fs::File::open(parent).and_then(|dir| dir.sync_all()).map_err(fail)?;
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
        Ok(())
    }

    fn write_tar(&self, path: &Path) -> io::Result<()> {
        let mut tar = tar::Builder::new(fs::File::create(path)?);
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes.as_slice())?;
        }
        tar.into_inner()?.sync_all()
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

fn unpack(path: &Path) -> io::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("nervelight-bundle-").tempdir()?;
    // `unpack` refuses entries that would land outside the directory.
    tar::Archive::new(io::BufReader::new(fs::File::open(path)?)).unpack(directory.path())?;
    Ok(directory)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

/// sha256 of `bytes`, hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The path or a file under it cannot be read.
    #[error("cannot read {path}: {source}. Check the path and its permissions")]
    Read {
        /// What was read.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is no tar.
    #[error("{path} is neither a bundle directory nor a tar of one: {source}. Copy the bundle again")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
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
        "{path}: {file} was changed: its sha256 is {found}, the manifest says {expected}. Copy the bundle again"
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
        /// The largest region at the threshold, or at one half where that is lower.
        largest: usize,
    },
    /// The bundle cannot be written.
    #[error("cannot write the bundle {path}: {source}")]
    Write {
        /// Where it should be.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

//! Bundles in a folder as the OCI image layout has it, to be carried where no network goes. `skopeo copy` takes them on
//! to a registry.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use nervelight_engines::store::atomic::{self, Access};
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RegistryError;
use crate::artifact::{Artifact, LARGEST_MANIFEST, Offered, descriptor, digest};

/// Name of the annotation that holds a tag.
const TAG: &str = "org.opencontainers.image.ref.name";
const MARK: &str = "oci-layout";
const INDEX: &str = "index.json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    manifests: Vec<OciDescriptor>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Puts a bundle into the layout in `folder`, which is made if it is not there. What has the tag already loses it.
///
/// # Errors
/// When the folder holds something else, or the disk refuses.
pub fn write(folder: &Path, tag: &str, artifact: &Artifact) -> Result<(), RegistryError> {
    let io = |reason| RegistryError::Io { path: folder.into(), reason };
    let mark = folder.join(MARK);
    let mut index = match mark.exists() {
        true => read_index(folder)?,
        false if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) => {
            let reason = "it holds other files. Name a folder that is new or empty".into();
            return Err(RegistryError::Layout { path: folder.into(), reason });
        }
        false => Index {
            schema_version: 2,
            media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.into()),
            manifests: vec![],
            others: BTreeMap::new(),
        },
    };
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(io)?;
    let place = |digest: &str| blobs.join(digest.trim_start_matches("sha256:"));
    let whole = |digest: &str, bytes: &[u8]| atomic::write(&place(digest), Access::Umask, bytes);
    whole(&artifact.config_digest, &artifact.config).map_err(io)?;
    let copy = |to: &mut File| {
        use std::io::{Seek, SeekFrom};
        let mut from = &artifact.tar;
        from.seek(SeekFrom::Start(0))?;
        io::copy(&mut from, to).map(drop)
    };
    atomic::write_with(&place(&artifact.tar_digest), Access::Umask, copy).map_err(io)?;
    whole(&artifact.digest, &artifact.manifest).map_err(io)?;
    let mut entry = descriptor(OCI_IMAGE_MEDIA_TYPE, &artifact.digest, artifact.manifest.len() as u64);
    entry.annotations = Some(BTreeMap::from([(TAG.to_owned(), tag.to_owned())]));
    index.manifests.retain(|other| tag_of(other) != Some(tag));
    index.manifests.push(entry);
    let text = |value: &Index| serde_json::to_vec(value).map_err(|error| io(error.into()));
    atomic::write(&folder.join(INDEX), Access::Umask, &text(&index)?).map_err(io)?;
    // The mark is last: a folder that has it is a layout.
    atomic::write(&mark, Access::Umask, b"{\"imageLayoutVersion\":\"1.0.0\"}").map_err(io)
}

/// The bundle under `tag` in the layout in `folder`, and its tar, whose bytes were checked.
///
/// # Errors
/// When there is none, or it was damaged.
pub fn read(folder: &Path, tag: &str) -> Result<(Offered, std::path::PathBuf), RegistryError> {
    let index = read_index(folder)?;
    let place = format!("oci:{}:{tag}", folder.display());
    let entry = index.manifests.iter().find(|entry| tag_of(entry) == Some(tag));
    let entry = entry.ok_or_else(|| RegistryError::Absent(place.clone()))?;
    let manifest = blob(folder, entry)?;
    let bytes = read_some(&manifest)?;
    let damaged =
        || RegistryError::Damaged { place: place.clone(), reason: "its manifest has another SHA-256".into() };
    if digest(entry) != Some(nervelight_engines::digest::sha256(&bytes).as_str()) {
        return Err(damaged());
    }
    let offered = Offered::read(&bytes, &place)?;
    let tar = blob(folder, &offered.layer)?;
    let file = File::open(&tar).map_err(|reason| RegistryError::Io { path: tar.clone(), reason })?;
    offered.check(&file, &place)?;
    Ok((offered, tar))
}

fn read_index(folder: &Path) -> Result<Index, RegistryError> {
    let no = |reason: String| RegistryError::Layout { path: folder.into(), reason };
    let bytes = read_some(&folder.join(INDEX)).map_err(|error| no(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| no(format!("{INDEX}: {error}")))
}

fn read_some(path: &Path) -> Result<Vec<u8>, RegistryError> {
    use std::io::Read;
    let io = |reason| RegistryError::Io { path: path.into(), reason };
    let mut bytes = vec![];
    File::open(path).map_err(io)?.take(LARGEST_MANIFEST).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// The file of what a descriptor describes. The digest in it is hexadecimal, and leads nowhere else.
fn blob(folder: &Path, of: &OciDescriptor) -> Result<std::path::PathBuf, RegistryError> {
    let no = || RegistryError::Layout { path: folder.into(), reason: "a digest in it is no SHA-256".into() };
    Ok(folder.join("blobs/sha256").join(digest(of).ok_or_else(no)?))
}

fn tag_of(entry: &OciDescriptor) -> Option<&str> {
    entry.annotations.as_ref()?.get(TAG).map(String::as_str)
}

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Models, ModelsError, State};
use crate::bundle::{Head, PublicKey, Trust};
use crate::digest::is_sha256;
use crate::store::disk::{self, Kind};
use crate::{Bundle, BundleError};

/// Digits of a digest.
const DIGITS: usize = 64;
/// Digits that its beginning must have.
const LEAST_DIGITS: usize = 8;

/// What is in a store of models. Reading it takes no lock: what is there is whole.
#[derive(Debug)]
pub struct Catalog {
    pub(super) root: PathBuf,
    pub(super) state: State,
    /// There are bundles, and no state.
    pub(super) is_lost: bool,
}

/// A stored bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of its manifest.
    pub digest: String,
    /// The model's name; empty where the manifest cannot be read.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// Its serial.
    pub serial: Option<u64>,
    /// Name of the key that signed it.
    pub signer: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Seconds since 1970.
    pub stored_at: u64,
    /// Why its manifest cannot be used. Files are checked when it is opened.
    pub fault: Option<String>,
}

impl Catalog {
    /// The store in the folder `root`, without changing it; one that is not there is a new one. Where there are bundles and
    /// no state, the largest of their serials is the floor.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn read(root: &Path) -> Result<Self, ModelsError> {
        let state = State::read(&root.join("state.json"))?;
        let is_lost = state.is_none();
        let mut catalog = Self { root: root.into(), state: state.unwrap_or_default(), is_lost };
        if is_lost {
            let digests = catalog.digests()?;
            let serials = digests.iter().filter_map(|digest| catalog.serial(digest).ok());
            catalog.state.floor = serials.max().unwrap_or(0);
            catalog.is_lost = !digests.is_empty();
        }
        Ok(catalog)
    }

    /// Whether it has bundles, and its `state.json` is gone: which of them ran is not known.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Digest of the model that a rollback leads to: the one before, else the newest that was kept. Never the one that was
    /// left last.
    pub fn previous_model(&self) -> Option<&str> {
        self.earlier().next()
    }

    /// What may be gone back to, the best first.
    pub(super) fn earlier(&self) -> impl Iterator<Item = &str> {
        let State { active, previous, rolled_back, kept, .. } = &self.state;
        let left = rolled_back.as_ref().map(|left| &left.digest);
        let others = kept.iter().rev().filter(move |kept| Some(*kept) != previous.as_ref());
        let all = previous.iter().chain(others);
        all.filter(move |digest| Some(*digest) != active.as_ref() && Some(*digest) != left)
            .map(String::as_str)
            .filter(|digest| self.is_stored(digest))
    }

    /// Whether a bundle with this digest is there, whole or damaged.
    pub(super) fn is_stored(&self, digest: &str) -> bool {
        disk::kind(&self.path(digest)).is_ok_and(|kind| kind == Kind::Folder)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which model runs.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The folder of stored bundles.
    pub(super) fn bundles(&self) -> PathBuf {
        self.root.join("bundles")
    }

    /// Where the bundle with this digest is, if it is stored. What is no digest is nowhere.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.bundles().join(if is_sha256(digest) { digest } else { "none" })
    }

    /// The folder of files on their way in. It is on the store's file system.
    pub fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Every stored bundle, by digest, with the name of the key among `keys` that signed it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self, keys: &[PublicKey]) -> Result<Vec<Stored>, ModelsError> {
        let digests = self.digests()?;
        Ok(digests.into_iter().map(|digest| self.stored(digest, keys)).collect())
    }

    fn stored(&self, digest: String, keys: &[PublicKey]) -> Stored {
        let path = self.path(&digest);
        let stored_at = disk::modified(&path).ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let mut stored = Stored {
            digest,
            name: String::new(),
            version: String::new(),
            serial: None,
            signer: None,
            bytes: 0,
            stored_at: stored_at.map_or(0, |since| since.as_secs()),
            fault: None,
        };
        match Head::read(&path, Trust { keys, required: false }) {
            Ok(head) if head.digest != stored.digest => {
                stored.fault = Some(BundleError::Changed { path }.to_string());
            }
            Ok(head) => {
                (stored.name, stored.version) = (head.manifest.name, head.manifest.version);
                (stored.serial, stored.signer) = (head.manifest.serial, head.signer);
                stored.bytes = head.bytes;
            }
            Err(error) => stored.fault = Some(error.to_string()),
        }
        stored
    }

    /// The digests of stored bundles, in order.
    pub(super) fn digests(&self) -> Result<Vec<String>, ModelsError> {
        let folder = self.bundles();
        let entries = match disk::entries(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec![],
            found => found.map_err(|reason| ModelsError::Io { path: folder, reason })?,
        };
        let folders = entries.into_iter().filter(|(_, kind)| *kind == Kind::Folder);
        let names = folders.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned()));
        let mut digests: Vec<String> = names.filter(|name| is_sha256(name)).collect();
        digests.sort();
        Ok(digests)
    }

    /// The digest of the stored bundle that begins with these digits, eight or more.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, beginning: &str) -> Result<String, ModelsError> {
        find(self.digests()?, beginning)
    }

    /// Opens a stored bundle, whoever signed it: it was let in when that was checked.
    ///
    /// # Errors
    /// When it is not there, or was changed since.
    pub fn bundle(&self, digest: &str, keys: &[PublicKey]) -> Result<Bundle, ModelsError> {
        let digest = self.find(digest)?;
        let path = self.path(&digest);
        let opened =
            Bundle::open_trusted(&path, keys, false).and_then(|bundle| match bundle.digest == digest {
                true => Ok(bundle),
                false => Err(BundleError::Changed { path: bundle.path }),
            });
        opened.map_err(|reason| ModelsError::Stored { path, reason })
    }

    /// The serial of a stored bundle, 0 where it has none.
    pub(super) fn serial(&self, digest: &str) -> Result<u64, ModelsError> {
        Ok(Head::read(&self.path(digest), Trust::ANYBODY)?.manifest.serial.unwrap_or(0))
    }
}

/// What reads a store reads one that is being changed too.
impl Deref for Models {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.catalog
    }
}

/// That one of `digests` which begins so.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(digests: impl IntoIterator<Item = String>, beginning: &str) -> Result<String, ModelsError> {
    let wanted = beginning.to_ascii_lowercase();
    let is_hexadecimal = wanted.chars().all(|c| c.is_ascii_hexdigit());
    if !is_hexadecimal || !(LEAST_DIGITS..=DIGITS).contains(&wanted.len()) {
        return Err(ModelsError::NoDigest { digest: beginning.chars().take(DIGITS).collect() });
    }
    let mut found: Vec<_> = digests.into_iter().filter(|digest| digest.starts_with(&wanted)).collect();
    match found.len() {
        0 => Err(ModelsError::Unknown { digest: wanted }),
        1 => Ok(found.remove(0)),
        count => Err(ModelsError::Ambiguous { digest: wanted, count }),
    }
}

//! The engine store: engines built on this machine or for it, each a plan beside a record of what it was built from.
//!
//! `<key>.plan` and `<key>.json`, and one timing cache per library and GPU. A file is written under another name,
//! synced and renamed, the record after the plan: a power cut leaves a plan with its record, or none that is used.

mod key;
mod record;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use key::{Gpu, Key};
pub use record::{Record, now};

use crate::digest::sha256;
use crate::store::atomic::{self, Access};

/// The engine store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "engine store {path}: {reason}. Check the folder's owner and free space, or set engine.tensorrt.store"
)]
pub struct StoreError {
    /// The file or folder.
    path: PathBuf,
    /// The system's reason.
    reason: io::Error,
}

/// What the store knows about a key.
#[derive(Debug)]
pub enum Found {
    /// A plan with the digest of its record.
    Plan(Vec<u8>),
    /// It was built before, and its golden frames rejected it.
    Rejected(String),
    /// Nothing, or nothing that can be trusted.
    Nothing,
}

/// A plan in the store, or what is left of one.
#[derive(Debug)]
pub struct Entry {
    /// Name of its files, without extension.
    pub name: String,
    /// Its record.
    pub record: Option<Record>,
    /// What is wrong with it.
    pub fault: Option<String>,
    /// Size of its files.
    pub bytes: u64,
}

/// A folder of plans.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in `folder`, or in `$STATE_DIRECTORY/engines` (the service), `/var/lib/nervelight/engines` where
    /// that folder's parent exists, or the user's cache. Nothing is made before it is written to.
    pub fn new(folder: Option<&Path>) -> Self {
        let system = Path::new("/var/lib/nervelight");
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = folder
            .map(Path::to_path_buf)
            .or_else(|| Some(variable("STATE_DIRECTORY")?.join("engines")))
            .or_else(|| system.is_dir().then(|| system.join("engines")))
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("nervelight/engines")))
            .or_else(|| Some(variable("HOME")?.join(".cache/nervelight/engines")))
            .unwrap_or_else(|| system.join("engines"));
        Self { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{name}.{extension}"))
    }

    /// Looks a key up. What does not fit its record counts as nothing, and is said.
    pub fn find(&self, key: &Key) -> Found {
        let name = key.name();
        let entry = match fs::read(self.file(&name, "json")) {
            Ok(text) => self.judge(&name, &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(e) => Err(e.to_string()),
        };
        match entry {
            Ok((record, _)) if record.key != *key => {
                tracing::warn!(plan = %name, "the stored plan is of another key; it is built again");
            }
            Ok((Record { rejected: Some(why), .. }, _)) => return Found::Rejected(why),
            Ok((_, plan)) => return Found::Plan(plan),
            Err(fault) => {
                tracing::warn!(plan = %name, %fault, "the stored plan is not used; it is built again")
            }
        }
        Found::Nothing
    }

    /// The record and the plan that fits it.
    fn judge(&self, name: &str, text: &[u8]) -> Result<(Record, Vec<u8>), String> {
        let record: Record =
            serde_json::from_slice(text).map_err(|e| format!("its record is malformed: {e}"))?;
        if record.key.name() != name {
            return Err("its record is of another key".into());
        }
        if record.rejected.is_some() {
            return Ok((record, vec![]));
        }
        let plan = fs::read(self.file(name, "plan")).map_err(|e| format!("its plan cannot be read: {e}"))?;
        if plan.is_empty() {
            return Err("its plan has no bytes".into());
        }
        if sha256(&plan) != record.sha256 {
            return Err("its plan was changed: its SHA-256 is not the record's".into());
        }
        Ok((record, plan))
    }

    /// Keeps a plan, or the fact that it was rejected.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn put(&self, mut record: Record, plan: &[u8]) -> Result<(), StoreError> {
        let name = record.key.name();
        record.bytes = plan.len() as u64;
        record.sha256 = sha256(plan);
        let (plan_file, record_file) = (self.file(&name, "plan"), self.file(&name, "json"));
        if record.rejected.is_some() {
            self.remove_file(&plan_file)?;
        } else {
            // The old record goes first: it must never stand beside a plan that it does not describe.
            self.remove_file(&record_file)?;
            self.write(&plan_file, plan)?;
        }
        let text = serde_json::to_vec_pretty(&record).map_err(|e| fail(&record_file)(e.into()))?;
        self.write(&record_file, &text)
    }

    /// Removes what is kept for a key.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn forget(&self, name: &str) -> Result<(), StoreError> {
        self.remove_file(&self.file(name, "json"))?;
        self.remove_file(&self.file(name, "plan"))
    }

    /// Every plan in the store, each read and compared with its record, by name.
    ///
    /// # Errors
    /// When the folder cannot be read; one that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut names = std::collections::BTreeSet::new();
        match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(fail(&self.folder)(e)),
            Ok(files) => {
                for file in files {
                    let path = file.map_err(fail(&self.folder))?.path();
                    let is_ours = path.extension().is_some_and(|e| e == "plan" || e == "json");
                    if let (true, Some(stem)) = (is_ours, path.file_stem()) {
                        names.insert(stem.to_string_lossy().into_owned());
                    }
                }
            }
        }
        Ok(names.into_iter().map(|name| self.entry(name)).collect())
    }

    fn entry(&self, name: String) -> Entry {
        let size = |extension| fs::metadata(self.file(&name, extension)).map_or(0, |m| m.len());
        let bytes = size("plan") + size("json");
        let (record, fault) = match fs::read(self.file(&name, "json")) {
            Err(_) => (None, Some("it has no record".into())),
            Ok(text) => match self.judge(&name, &text) {
                Ok((record, _)) => (Some(record), None),
                Err(fault) => (serde_json::from_slice(&text).ok(), Some(fault)),
            },
        };
        Entry { name, record, fault, bytes }
    }

    /// Removes what a power cut left of files that were being written.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn sweep(&self) -> Result<(), StoreError> {
        atomic::sweep(&self.folder).map_err(fail(&self.folder))
    }

    fn timing_file(&self, key: &Key) -> PathBuf {
        self.file(&format!("timing-{}", key.timing_name()), "cache")
    }

    /// What earlier builds with this library on this GPU have measured; nothing at first.
    pub fn timing(&self, key: &Key) -> Vec<u8> {
        fs::read(self.timing_file(key)).unwrap_or_default()
    }

    /// Keeps a timing cache.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn put_timing(&self, key: &Key, timing: &[u8]) -> Result<(), StoreError> {
        self.write(&self.timing_file(key), timing)
    }

    /// A plan that an administrator built is read by the service.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let made = fs::create_dir_all(&self.folder);
        made.and_then(|()| atomic::write(path, Access::Everybody, bytes)).map_err(fail(path))
    }

    fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        atomic::remove(path).map_err(fail(path))
    }
}

fn fail(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |reason| StoreError { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::key::tests::key;
    use super::*;
    use crate::precision::Precision;

    fn record(onnx: &str) -> Record {
        let key = key(onnx);
        let (precision, model) = (Precision::Fp16, "m 1".into());
        Record {
            key,
            precision,
            model,
            built: 0,
            seconds: 1.0,
            sha256: String::new(),
            bytes: 0,
            rejected: None,
        }
    }

    #[test]
    fn a_cut_at_any_instant_leaves_a_plan_that_is_whole_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(Some(dir.path()));
        let record = record("a");
        let plan_of = |found| match found {
            Found::Plan(plan) => Some(plan),
            _ => None,
        };
        store.put(record.clone(), b"first").unwrap();
        let (plan, json) = (store.file(&record.key.name(), "plan"), store.file(&record.key.name(), "json"));
        let old = fs::read(&json).unwrap();
        store.put(record.clone(), b"second").unwrap();
        let new = fs::read(&json).unwrap();
        assert_eq!(plan_of(store.find(&record.key)), Some(b"second".to_vec()));
        // Between the steps of `put`: the record gone, the new plan beside no record or, if the removal was lost,
        // beside the old one.
        fs::remove_file(&json).unwrap();
        assert_eq!(plan_of(store.find(&record.key)), None);
        fs::write(&json, old).unwrap();
        assert_eq!(plan_of(store.find(&record.key)), None);
        // A file of which the disk kept half.
        fs::write(&json, &new[..new.len() / 2]).unwrap();
        assert_eq!(plan_of(store.find(&record.key)), None);
        fs::write(&json, new).unwrap();
        fs::write(&plan, b"sec").unwrap();
        assert_eq!(plan_of(store.find(&record.key)), None);
        store.forget(&record.key.name()).unwrap();
        assert!(store.list().unwrap().is_empty() && !plan.exists() && !json.exists());
    }
}

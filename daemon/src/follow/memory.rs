//! What became of models that a cart took from a registry. It outlives the process: what did not do is not tried again by
//! itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};

/// Models that are remembered.
const MOST: usize = 200;

/// What became of models, in a file.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    text: Text,
}

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Text {
    /// The bundle that is being deployed, or was last.
    trying: Option<Trying>,
    /// What is known of others, the newest last.
    ended: Vec<Ended>,
}

/// A bundle that is being deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trying {
    /// Its digest.
    pub digest: String,
    /// How often that was begun.
    pub times: u32,
    /// It goes on, as far as is known.
    goes: bool,
}

/// What became of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its digest.
    pub digest: String,
    /// Whether it passed its probation.
    pub kept: bool,
    /// What happened, if not.
    pub why: String,
    /// The others know it.
    pub published: bool,
}

impl Memory {
    /// The memory in the file at `path`. One that cannot be read is said and forgotten.
    pub fn read(path: &Path) -> Self {
        let text = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "it is not known any more what became of models");
                Text::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "it is not known what became of models");
                }
                Text::default()
            }
        };
        Self { path: path.into(), text }
    }

    /// The bundle that is being deployed.
    pub fn trying(&self) -> Option<&Trying> {
        self.text.trying.as_ref().filter(|trying| trying.goes)
    }

    /// What became of a bundle, if that is known.
    pub fn ended(&self, digest: &str) -> Option<&Ended> {
        self.text.ended.iter().rev().find(|ended| ended.digest == digest)
    }

    /// A bundle is being deployed, once more if it was before.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn try_it(&mut self, digest: &str) -> io::Result<()> {
        let before = self.text.trying.take().filter(|trying| trying.digest == digest);
        let times = before.map_or(0, |trying| trying.times) + 1;
        self.text.trying = Some(Trying { digest: digest.into(), times, goes: true });
        self.write()
    }

    /// The deployment did not come to an end; `counts` says whether it was one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn untry(&mut self, counts: bool) -> io::Result<()> {
        if let Some(trying) = &mut self.text.trying {
            trying.goes = false;
            trying.times -= u32::from(!counts && trying.times > 0);
        }
        self.write()
    }

    /// It is known what became of a bundle.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn end(&mut self, digest: &str, kept: bool, why: &str) -> io::Result<()> {
        let was_tried = self.text.trying.take_if(|trying| trying.digest == digest).is_some();
        if self.ended(digest).is_some_and(|ended| ended.kept == kept) {
            return if was_tried { self.write() } else { Ok(()) };
        }
        self.text.ended.retain(|ended| ended.digest != digest);
        self.text.ended.push(Ended { digest: digest.into(), kept, why: why.into(), published: false });
        let extra = self.text.ended.len().saturating_sub(MOST);
        self.text.ended.drain(..extra);
        self.write()
    }

    /// The others know what became of it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn published(&mut self, digest: &str) -> io::Result<()> {
        for ended in self.text.ended.iter_mut().filter(|ended| ended.digest == digest) {
            ended.published = true;
        }
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        atomic::write(&self.path, Access::Umask, &serde_json::to_vec_pretty(&self.text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_models_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("follow.json");
        let mut memory = Memory::read(&path);
        memory.try_it("a").unwrap();
        memory.untry(true).unwrap();
        assert!(Memory::read(&path).trying().is_none());
        memory.try_it("a").unwrap();
        memory.untry(false).unwrap();
        memory.try_it("a").unwrap();
        assert_eq!(Memory::read(&path).trying().unwrap().times, 2);
        memory.end("a", false, "Dice 0.2").unwrap();
        memory.published("a").unwrap();
        let mut memory = Memory::read(&path);
        assert!(memory.trying().is_none() && memory.ended("a").unwrap().published);
        // The same said again is no news, another word is.
        memory.end("a", false, "").unwrap();
        assert!(memory.ended("a").unwrap().published);
        memory.end("a", true, "").unwrap();
        assert!(!memory.ended("a").unwrap().published && memory.ended("a").unwrap().kept);
        (0..300).for_each(|i| memory.end(&i.to_string(), true, "").unwrap());
        assert!(memory.ended("a").is_none() && memory.ended("299").is_some());
        fs::write(&path, "{").unwrap();
        assert!(Memory::read(&path).ended("299").is_none());
    }
}

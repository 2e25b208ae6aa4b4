//! `review.jsonl`: every decision about drafts, one a line, in their order; only ever added to.
//!
//! Each line has the digest of the one before it, so that a line that was changed or removed later is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::list::DRAFTS;
use crate::util::sha256;

/// The file's name in the folder of drafts.
const NAME: &str = "review.jsonl";
/// The version that is read and written.
const SCHEMA: u32 = 1;

/// What a person found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The model's mask is right.
    Accepted,
    /// The mask is right as the person drew it.
    Corrected,
    /// The frame is good for nothing.
    Rejected,
    /// The decision before is taken back.
    Reopened,
}

impl Verdict {
    /// Whether the frame is trained on.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::Corrected)
    }
}

/// A decision: who, what, when, about which pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Version of this line.
    pub schema: u32,
    /// When, in UTC.
    pub at: String,
    /// Who.
    pub reviewer: String,
    /// `S_N`
    pub draft: String,
    /// What was decided.
    pub decision: Verdict,
    /// SHA-256 of the frame's pixels.
    pub picture: String,
    /// SHA-256 of the mask's pixels before.
    pub before: String,
    /// The same after; none where no mask is left.
    pub after: Option<String>,
    /// Digest of the bundle that drew the draft.
    pub model: String,
    /// SHA-256 of the line before, without its end; of nothing in the first.
    pub chain: String,
}

/// Why decisions cannot be read or added.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Two would write into each other's.
    #[error("{0}: another review of this data set is at work; end it first")]
    Busy(PathBuf),
    /// What is there cannot be trusted.
    #[error("{path}:{line}: {why}. Restore the file from a copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The disk refuses.
    #[error("{0}: {1}; the decision is not saved")]
    Io(PathBuf, io::Error),
}

/// The file, as its one writer has it.
#[derive(Debug)]
pub struct Review {
    path: PathBuf,
    file: File,
    length: u64,
    chain: String,
    /// The newest of each draft.
    newest: BTreeMap<String, Decision>,
    /// How many of each draft.
    counts: BTreeMap<String, u32>,
    /// The draft of the last line.
    last: Option<String>,
}

impl Review {
    /// Opens the file of the data set in `directory`, or begins one. What a power cut left of a line is removed: nobody was
    /// told that it was saved.
    ///
    /// # Errors
    /// When it cannot be read, was changed, or another review is at work.
    pub fn open(directory: &Path) -> Result<Self, ReviewError> {
        let path = directory.join(DRAFTS).join(NAME);
        let failed = |error| ReviewError::Io(path.clone(), error);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ReviewError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let length = text.rfind('\n').map_or(0, |end| end + 1);
        if length < text.len() {
            file.set_len(length as u64).and_then(|()| file.sync_all()).map_err(failed)?;
            text.truncate(length);
        }
        let mut review = Self {
            path: path.clone(),
            file,
            length: length as u64,
            chain: sha256(b""),
            newest: BTreeMap::new(),
            counts: BTreeMap::new(),
            last: None,
        };
        for (line, decision) in decisions(&path, &text)? {
            review.take(line, decision);
        }
        Ok(review)
    }

    fn take(&mut self, line: &str, decision: Decision) {
        self.chain = sha256(line.as_bytes());
        self.last = Some(decision.draft.clone());
        *self.counts.entry(decision.draft.clone()).or_default() += 1;
        self.newest.insert(decision.draft.clone(), decision);
    }

    /// The newest decision about a draft.
    pub fn newest(&self, draft: &str) -> Option<&Decision> {
        self.newest.get(draft)
    }

    /// How many decisions there are about a draft.
    pub fn count(&self, draft: &str) -> u32 {
        self.counts.get(draft).copied().unwrap_or_default()
    }

    /// The draft of the last decision.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Adds a decision; it is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was then.
    pub fn add(&mut self, mut decision: Decision) -> Result<(), ReviewError> {
        (decision.schema, decision.chain) = (SCHEMA, self.chain.clone());
        let line = serde_json::to_string(&decision).map_err(|error| self.failed(error.into()))?;
        let whole = format!("{line}\n");
        let written = self.file.write_all(whole.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Else the next line would be added to a half of this one.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::End(0));
            return Err(self.failed(error));
        }
        self.length += whole.len() as u64;
        self.take(&line, decision);
        Ok(())
    }

    fn failed(&self, error: io::Error) -> ReviewError {
        ReviewError::Io(self.path.clone(), error)
    }
}

/// Every line of `text` with its decision.
fn decisions<'a>(path: &Path, text: &'a str) -> Result<Vec<(&'a str, Decision)>, ReviewError> {
    let mut chain = sha256(b"");
    let mut decisions = vec![];
    for (number, line) in text.lines().enumerate() {
        let damaged = |why: String| ReviewError::Damaged { path: path.into(), line: number + 1, why };
        let decision: Decision =
            serde_json::from_str(line).map_err(|error| damaged(format!("is no decision ({error})")))?;
        if decision.schema != SCHEMA {
            return Err(damaged(format!("is of schema {}, not {SCHEMA}", decision.schema)));
        }
        if decision.chain != chain {
            return Err(damaged("does not follow the line before it, which was changed or removed".into()));
        }
        chain = sha256(line.as_bytes());
        decisions.push((line, decision));
    }
    Ok(decisions)
}

/// Names of the drafts of the data set in `directory` that are decided.
///
/// # Errors
/// When the file cannot be read, or was changed.
pub fn decided(directory: &Path) -> Result<BTreeSet<String>, ReviewError> {
    let path = directory.join(DRAFTS).join(NAME);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        text => text.map_err(|error| ReviewError::Io(path.clone(), error))?,
    };
    // A line that is being written is none yet.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut decided = BTreeSet::new();
    for (_, decision) in decisions(&path, whole)? {
        match decision.decision {
            Verdict::Reopened => decided.remove(&decision.draft),
            _ => decided.insert(decision.draft),
        };
    }
    Ok(decided)
}

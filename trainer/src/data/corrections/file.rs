//! `corrections.toml`: read, checked and written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nervelight_engines::settings::{self, Problem, Problems};
use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};

use super::decision::{Decision, Rule};
use crate::util::sha256;

/// The file's layout that this version reads and writes.
const SCHEMA: u32 = 1;
const HEADER: &str =
    "# Written by `nervelight-train analyze resolve`, read by `train` (corrections = \"…\").\n\n";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) schema: u32,
    pub(super) data: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) decision: Vec<Decision>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    schema: u32,
}

/// A file of decisions.
#[derive(Debug, Clone)]
pub struct Corrections {
    /// Where it lies.
    pub path: PathBuf,
    /// As it stands there.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub digest: String,
    /// Digest of the data set that was decided on.
    pub data: String,
    /// What was decided.
    pub decisions: Vec<Decision>,
}

impl Corrections {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let text = settings::text(path)?;
        // First: a later layout should be called that, not a file of many mistakes.
        settings::read_text::<Version>(path, &text, |version| match version.schema {
            SCHEMA => vec![],
            0 => vec![Problem::at("schema", "missing; this is no file of corrections")],
            n => vec![Problem::at("schema", format!("{n} is unknown, {SCHEMA} is read; update nervelight"))],
        })?;
        let File { data, decision, .. } = settings::read_text(path, &text, problems)?;
        let digest = sha256(text.as_bytes());
        Ok(Self { path: path.into(), text, digest, data, decisions: decision })
    }

    /// Writes `decisions` about the data set of digest `data`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was then.
    pub fn save(path: &Path, data: &str, decisions: Vec<Decision>) -> std::io::Result<Self> {
        let file = File { schema: SCHEMA, data: data.into(), decision: decisions };
        let text = HEADER.to_owned() + &toml::to_string(&file).map_err(std::io::Error::other)?;
        atomic::write(path, Access::Umask, text.as_bytes())?;
        let digest = sha256(text.as_bytes());
        Ok(Self { path: path.into(), text, digest, data: file.data, decisions: file.decision })
    }

    /// The digest of the data set of digest `data` with these corrections.
    pub fn digest_of(&self, data: &str) -> String {
        sha256(format!("{data} corrected by {}\n", self.digest).as_bytes())
    }
}

/// Every impossible value of a file.
fn problems(file: &File) -> Vec<Problem> {
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let wanted = "is no SHA-256 in hex; put back what resolve wrote";
    let mut problems = vec![];
    if !is_digest(&file.data) {
        problems.push(Problem::at("data", wanted));
    }
    let mut seen = HashMap::<(&str, &str), Vec<(usize, &str)>>::new();
    for (i, Decision { rule, frame, .. }) in file.decision.iter().enumerate() {
        let kept = frame.iter().filter(|subject| subject.keep).count();
        if frame.is_empty() {
            problems.push(Problem::at(format!("decision[{i}].rule"), "names no frame; remove it"));
        } else if *rule == Rule::Keep && kept != 1 {
            let message = format!("{kept} masks are to be kept; set keep = true at one frame");
            problems.push(Problem::at(format!("decision[{i}].rule"), message));
        } else if *rule != Rule::Keep && kept > 0 {
            let message = "keep = true needs rule = \"keep\"; change one of them";
            problems.push(Problem::at(format!("decision[{i}].rule"), message));
        }
        for (j, subject) in frame.iter().enumerate() {
            let at = |key: &str| format!("decision[{i}].frame[{j}].{key}");
            for (key, value) in [("picture", &subject.picture), ("mask", &subject.mask)] {
                if !is_digest(value) {
                    problems.push(Problem::at(at(key), wanted));
                }
            }
            let known = seen.entry(subject.key()).or_default();
            if let Some((other, _)) = known.iter().find(|(k, name)| *k != i || *name == subject.name) {
                let message =
                    format!("{} is decided twice, by decision {} too; remove one", subject.name, other + 1);
                problems.push(Problem::at(at("name"), message));
            }
            known.push((i, &subject.name));
        }
    }
    problems
}

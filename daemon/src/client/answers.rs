//! What a cart answers, as far as it is of use here. What is new in a later daemon's answer is no mistake.

use serde::Deserialize;

/// A deployment, the present or the last one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Deployment {
    /// Counts those of the daemon's process.
    pub id: u64,
    /// The bundle's digest, once it is known.
    pub digest: Option<String>,
    /// How far it is, in a word.
    pub state: String,
    /// How far this step is, 0 to 1.
    pub progress: Option<f64>,
    /// Why it ended.
    pub failed: Option<Failed>,
}

impl Deployment {
    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "kept" | "refused" | "failed" | "rolled_back")
    }
}

/// Why a deployment ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Failed {
    /// What it did not pass.
    pub gate: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Failed {
    /// All of it, for people.
    pub fn words(&self) -> String {
        let remedy = self.remedy.as_deref().map_or(String::new(), |remedy| format!(". {remedy}"));
        format!("{}: {}{remedy}", self.gate, self.message)
    }
}

/// A model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Model {
    /// Its bundle's digest.
    pub digest: String,
}

/// The part of a cart's status that is of use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Status {
    /// The model at work.
    pub model: Option<Model>,
}

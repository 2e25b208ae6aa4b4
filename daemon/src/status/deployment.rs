//! A deployment, for people and for programs.

use std::collections::BTreeMap;

use nervelight_engines::Manifest;
use serde::Serialize;

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Signature and manifest are read.
    Verifying,
    /// The bundle is unpacked into the store, and every file is digested.
    Staging,
    /// The engine is built for this machine, where it has to be.
    Building,
    /// The engine is opened and computes the golden frames.
    Proving,
    /// It takes the old one's place, between two frames.
    Swapping,
    /// It is shown, and watched.
    Probation,
    /// It stays.
    Kept,
    /// The bundle was not accepted.
    Refused,
    /// It was accepted, and never shown.
    Failed,
    /// It was shown, and the model before it is shown again.
    RolledBack,
}

impl State {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Verifying,
        Self::Staging,
        Self::Building,
        Self::Proving,
        Self::Swapping,
        Self::Probation,
        Self::Kept,
        Self::Refused,
        Self::Failed,
        Self::RolledBack,
    ];

    /// As it is called in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verifying => "verifying",
            Self::Staging => "staging",
            Self::Building => "building",
            Self::Proving => "proving",
            Self::Swapping => "swapping",
            Self::Probation => "probation",
            Self::Kept => "kept",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Kept | Self::Refused | Self::Failed | Self::RolledBack)
    }
}

/// What a deployment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A bundle that was sent here goes through every step.
    Deploy,
    /// An operator chose a stored model: it is proven, and there is no probation.
    Use,
    /// The same of the model before the present one.
    RollBack,
}

/// A model, as its manifest and its signature say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModelFigures {
    /// The bundle's digest.
    pub digest: String,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// Its place in the order of releases.
    pub serial: Option<u64>,
    /// Name of the key that signed it, where a known one did.
    pub signer: Option<String>,
}

impl ModelFigures {
    /// Of the bundle with this digest and manifest, which the key of this name signed.
    pub fn new(digest: &str, manifest: &Manifest, signer: Option<&str>) -> Self {
        Self {
            digest: digest.into(),
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            serial: manifest.serial,
            signer: signer.map(str::to_owned),
        }
    }
}

/// Why a deployment ended without its model at work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// What it did not pass.
    pub gate: &'static str,
    /// The golden frame, where one said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<f64>,
    /// What was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// One of the gates of a probation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateFigures {
    /// Its name.
    pub gate: &'static str,
    /// What it is, in words.
    pub what: &'static str,
    /// What was found up to now, if anything.
    pub figure: Option<f64>,
    /// What it is held to.
    pub bound: f64,
    /// The figure must not exceed the bound, or else must not be under it.
    pub is_most: bool,
    /// Enough was seen to judge by.
    pub is_judged: bool,
}

/// How a probation goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbationFigures {
    /// Seconds at work.
    pub seconds: f64,
    /// Seconds it lasts at least.
    pub of_seconds: f64,
    /// Frames of the scanner that the model has answered.
    pub frames: u64,
    /// How many these must be.
    pub of_frames: u64,
    /// Frames that the model before it has computed, too.
    pub pairs: u64,
    /// What it waits for, where that is not time alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<&'static str>,
    /// The gates.
    pub gates: Vec<GateFigures>,
}

/// A step that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// Which.
    pub state: State,
    /// How long it took, or has taken up to now.
    pub seconds: f64,
}

/// The present deployment, or the last one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeploymentFigures {
    /// Counts the deployments of this process, from 1.
    pub id: u64,
    /// What it does.
    pub kind: Kind,
    /// Who asked.
    pub who: String,
    /// The bundle's digest, once it is known.
    pub digest: Option<String>,
    /// The model's name and version, once they are known.
    pub model: Option<String>,
    /// The bundle's serial, where it has one.
    pub serial: Option<u64>,
    /// How far it is.
    pub state: State,
    /// Seconds since that state began.
    pub step_since_s: f64,
    /// Part of this step that is done, 0..1, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f32>,
    /// The steps up to this one.
    pub steps: Vec<Step>,
    /// Why it ended without its model at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    /// How the probation goes, or went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probation: Option<ProbationFigures>,
}

/// A model that runs on spare time and is not shown, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowFigures {
    /// The model.
    pub model: ModelFigures,
    /// Frames that both have computed.
    pub frames: u64,
    /// Mean Dice where either shows a nerve.
    pub mean_dice: Option<f64>,
    /// Share of frames where only one shows a nerve.
    pub flips: Option<f64>,
}

/// What becomes of models, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelsMoment {
    /// The present deployment, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentFigures>,
    /// How many deployments of this process ended in which state.
    pub deployments: BTreeMap<&'static str, u64>,
    /// The model that runs on spare time, while one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowFigures>,
    /// There is a deployment to end, or a model to go back to.
    pub can_go_back: bool,
    /// Why the store does not know yet that the model before is shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<String>,
    /// Why the store cannot be used; `model.bundle` runs then, and nothing can be deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_failed: Option<String>,
}

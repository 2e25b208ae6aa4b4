//! The store of models and the shadow's report, where readers find them.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::lock::lock;
use crate::redact::redact;
use crate::status::deployment::{DeploymentFigures, ModelFigures};
use crate::status::shadow::ShadowReport;

/// A stored bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredFigures {
    /// What its manifest and its signature say.
    #[serde(flatten)]
    pub model: ModelFigures,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it came, in UTC.
    pub stored_at: String,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What is in the store, and which of it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StoreFigures {
    /// Digest of the bundle that runs.
    pub active: Option<String>,
    /// Digest of the one before it.
    pub previous: Option<String>,
    /// Digest of the one on probation.
    pub probation: Option<String>,
    /// Least serial that is accepted.
    pub floor: u64,
    /// The last time that the store went back, and why.
    pub rolled_back: Option<RolledBackFigures>,
    /// Every stored bundle.
    pub models: Vec<StoredFigures>,
}

/// A model that was left for the one before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolledBackFigures {
    /// Digest of the bundle that was left.
    pub digest: String,
    /// Why.
    pub why: String,
    /// When, in UTC.
    pub when: String,
}

/// The newest of both.
#[derive(Clone, Default)]
pub struct ModelsView(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    store: Option<StoreFigures>,
    fault: Option<String>,
    deployment: Option<DeploymentFigures>,
    shadow: Option<Arc<ShadowReport>>,
}

impl ModelsView {
    /// Replaces what is known of the store.
    pub fn put_store(&self, store: StoreFigures) {
        lock(&self.0).store = Some(store);
    }

    /// What is in the store; none where there is none.
    pub fn store(&self) -> Option<StoreFigures> {
        lock(&self.0).store.clone()
    }

    /// The store cannot be used, because of this.
    pub fn put_fault(&self, fault: &str) {
        lock(&self.0).fault = Some(redact(fault).into_owned());
    }

    /// Why the store cannot be used, if so.
    pub fn fault(&self) -> Option<String> {
        lock(&self.0).fault.clone()
    }

    /// Why there is no store to ask, and what to do.
    pub fn absence(&self) -> String {
        self.fault().unwrap_or_else(|| {
            "there is no store of models here. Set model.store in the daemon's configuration to a folder"
                .into()
        })
    }

    /// Replaces the deployment.
    pub fn put_deployment(&self, deployment: DeploymentFigures) {
        lock(&self.0).deployment = Some(deployment);
    }

    /// The present deployment, or the last one; none before the first.
    pub fn deployment(&self) -> Option<DeploymentFigures> {
        lock(&self.0).deployment.clone()
    }

    /// Replaces the shadow's report.
    pub fn put_shadow(&self, report: Arc<ShadowReport>) {
        lock(&self.0).shadow = Some(report);
    }

    /// The report of the shadow that runs, or of the last one; none before the first.
    pub fn shadow(&self) -> Option<Arc<ShadowReport>> {
        lock(&self.0).shadow.clone()
    }
}

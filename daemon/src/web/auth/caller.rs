//! A caller and its role.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What somebody may do. Each may do what those before it may.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look: pictures, status, metrics, models.
    View,
    /// Switch what is shown, try again what failed.
    Operate,
    /// Change which model runs.
    Deploy,
}

impl Role {
    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::View, Self::Operate, Self::Deploy].into_iter().find(|role| role.to_string() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Deploy => "deploy",
        })
    }
}

/// Who asks. Every handler of a route that needs a role has it as an extension.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's name, or what stands for one.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// Where the request came from.
    pub address: IpAddr,
    /// Closed when the token is revoked or the session ends; none where neither can be.
    pub(super) lease: Option<watch::Receiver<()>>,
}

impl Caller {
    /// Somebody whose role nobody can take away.
    pub fn new(name: &str, role: Role, address: IpAddr) -> Self {
        Self { name: name.into(), role, address, lease: None }
    }

    /// Waits until this caller may ask for nothing any more.
    pub async fn ended(mut self) {
        match &mut self.lease {
            // Nothing is ever sent: the other end goes.
            Some(lease) => while lease.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}

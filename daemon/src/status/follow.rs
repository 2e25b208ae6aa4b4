//! How the cart stands to the registry's tag that it follows.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::lock::lock;

/// How the cart stands to the tag.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FollowFigures {
    /// The tag.
    pub uri: String,
    /// How it stands.
    pub state: FollowState,
    /// The same in words, where there is more to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the tag named last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<OfferedFigures>,
    /// Bytes of it that were fetched, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched: Option<u64>,
    /// Whether the registry answered last.
    pub reachable: bool,
    /// How often it did not, in all.
    pub failures: u64,
}

/// What a tag names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfferedFigures {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its serial.
    pub serial: Option<u64>,
    /// Its bundle's digest.
    pub digest: String,
    /// Bytes of its tar.
    pub bytes: u64,
}

/// How a cart stands to the tag that it follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowState {
    /// It was not asked yet, or never answered.
    #[default]
    Unknown,
    /// The model that it names runs.
    Current,
    /// Another one is being fetched, or deployed.
    Taking,
    /// It waits for its time of the day.
    Window,
    /// It waits for canaries.
    Canaries,
    /// What it names is not taken.
    Refused,
}

impl FollowState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Current, Self::Taking, Self::Window, Self::Canaries, Self::Refused];

    /// As programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Current => "current",
            Self::Taking => "taking",
            Self::Window => "window",
            Self::Canaries => "canaries",
            Self::Refused => "refused",
        }
    }
}

/// Where the figures lie for whoever shows them.
#[derive(Clone, Default)]
pub struct FollowCell(Arc<Mutex<Option<FollowFigures>>>);

impl FollowCell {
    /// The figures; none where nothing is followed.
    pub fn get(&self) -> Option<FollowFigures> {
        lock(&self.0).clone()
    }

    /// Changes them.
    pub fn change(&self, change: impl FnOnce(&mut FollowFigures)) {
        change(lock(&self.0).get_or_insert_default());
    }
}

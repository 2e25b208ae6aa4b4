//! Typed control of the running daemon: commands with answers, and errors that a program can tell apart.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What a person or a program may ask the running daemon to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show the overlay or not.
    SetOverlay {
        /// Whether to show it.
        enabled: bool,
    },
    /// Open the engine anew.
    ReopenEngine,
    /// Try a sink that failed again now, and not when its time comes.
    RetrySink {
        /// Its place in the configuration, from 0.
        sink: usize,
    },
    /// Keep the pictures around this moment for retraining.
    Flag {
        /// Why.
        reason: Reason,
    },
    /// Change which model runs. Answered when it is known whether that can begin; how it goes on is in the status.
    Model(ModelCommand),
}

/// Why somebody flagged a moment. A list and no text: people write names into texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody said.
    #[default]
    Unspecified,
    /// The outline is wrong.
    WrongOutline,
    /// There is a nerve that was not found.
    MissedNerve,
    /// What was found is no nerve.
    NoNerve,
    /// The mask flickers or jumps.
    Unsteady,
}

impl Reason {
    /// As programs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::WrongOutline => "wrong_outline",
            Self::MissedNerve => "missed_nerve",
            Self::NoNerve => "no_nerve",
            Self::Unsteady => "unsteady",
        }
    }
}

/// What may be done about models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelCommand {
    /// Verify, store, prove, swap in and try out the bundle in this tar, which belongs to the daemon from now on.
    Deploy {
        /// The tar, on the store's file system.
        bundle: PathBuf,
        /// Who asked, for status and audit log.
        who: String,
    },
    /// Run the stored bundle with this digest, without probation: an operator knows.
    Use {
        /// The bundle's digest.
        digest: String,
        /// Who asked.
        who: String,
    },
    /// Run the model before the present one.
    RollBack {
        /// Who asked.
        who: String,
    },
    /// Run a stored bundle beside the present one on spare time, never shown; none ends that.
    Shadow {
        /// The bundle's digest.
        digest: Option<String>,
    },
    /// Remove stored bundles that nothing needs.
    Prune,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The overlay is shown, or not, from the next frame on.
    Overlay {
        /// Whether it is shown.
        enabled: bool,
    },
    /// The engine is being opened; the one at work goes on until then.
    EngineOpening,
    /// The sink is being opened.
    SinkOpening {
        /// Its place in the configuration.
        sink: usize,
    },
    /// The pictures of the last second and of the next are kept.
    Flagged,
    /// A deployment has begun; the status says how it goes on.
    Deploying {
        /// Counts the deployments of this process, from 1.
        deployment: u64,
    },
    /// The model is being opened, and is shown once it is proven.
    ModelOpening {
        /// The bundle's digest.
        digest: String,
    },
    /// The shadow runs, or will once it is open; none runs any more.
    Shadow {
        /// The bundle's digest.
        digest: Option<String>,
    },
    /// What was removed.
    Pruned {
        /// The bundles' digests.
        digests: Vec<String>,
    },
}

/// Why a command was not carried out, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// It cannot be read.
    BadRequest,
    /// There is no such thing.
    NotFound,
    /// It makes no sense at present.
    Conflict,
    /// The daemon is too busy, or stops.
    Unavailable,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what, and what to do.
    pub message: String,
}

impl ControlError {
    /// An error of this kind that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What a command comes to.
pub type Answer = Result<Reply, ControlError>;

/// A command on its way to the supervisor.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Who waits for the answer.
    pub reply: oneshot::Sender<Answer>,
}

impl Request {
    /// Answers it.
    pub fn answer(self, answer: Answer) {
        // Whoever asked may have gone.
        let _ = self.reply.send(answer);
    }
}

/// The end of those who ask.
#[derive(Clone)]
pub struct Control(crossbeam_channel::Sender<Request>);

/// Makes both ends.
pub fn control() -> (Control, crossbeam_channel::Receiver<Request>) {
    let (send, requests) = crossbeam_channel::bounded(16);
    (Control(send), requests)
}

impl Control {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn ask(&self, command: Command) -> Answer {
        let gone = || ControlError::new(ErrorKind::Unavailable, "the daemon is busy or stops. Try again");
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Request { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

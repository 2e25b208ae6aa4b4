//! The door for viewers: what the page's server asks of the sink that is open (draft-ietf-wish-whep).

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::lock::lock;

/// Lets viewers in while a sink is open.
#[derive(Clone)]
pub struct Whep {
    /// Where the time line of what viewers are told begins.
    pub begun: Instant,
    open: Arc<Mutex<Option<mpsc::Sender<Wish>>>>,
}

/// What a viewer wants.
pub enum Wish {
    /// To watch.
    Join {
        /// Its SDP.
        offer: String,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Joined, Refusal>>,
    },
    /// To watch no longer.
    Leave {
        /// What it was called.
        viewer: String,
        /// Whether there was such a viewer.
        answer: oneshot::Sender<bool>,
    },
}

/// A viewer that was let in.
#[derive(Debug)]
pub struct Joined {
    /// What it is called; nobody guesses it.
    pub viewer: String,
    /// Our SDP.
    pub answer: String,
    /// Ends when it is gone.
    pub gone: oneshot::Receiver<()>,
}

/// Why a viewer was not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The offer cannot be read.
    #[error("the offer cannot be used: {0}")]
    Offer(String),
    /// The offer has no place for our video.
    #[error(
        "the offer takes no video that is sent here: it has to offer H.264, constrained baseline, with \
         packetization-mode=1, on a media line that receives"
    )]
    Codec,
    /// As many watch as can.
    #[error("{0} viewers watch already, and that is the most. Close one of them, or try again later")]
    Full(usize),
    /// The sink is not open.
    #[error("the WebRTC sink is not open: see /status for the reason. It is tried again by itself")]
    Closed,
}

impl Whep {
    /// Lets nobody in yet.
    pub fn new(begun: Instant) -> Self {
        Self { begun, open: Arc::default() }
    }

    /// Asks `wishes` from now on.
    pub fn open(&self, wishes: mpsc::Sender<Wish>) {
        *lock(&self.open) = Some(wishes);
    }

    /// Lets nobody in any more, unless another sink was opened since.
    pub fn close(&self, wishes: &mpsc::Sender<Wish>) {
        let mut open = lock(&self.open);
        if open.as_ref().is_some_and(|now| now.same_channel(wishes)) {
            *open = None;
        }
    }

    fn wishes(&self) -> Option<mpsc::Sender<Wish>> {
        lock(&self.open).clone()
    }

    /// Lets a viewer in that offers this SDP.
    ///
    /// # Errors
    /// Why not.
    pub async fn join(&self, offer: String) -> Result<Joined, Refusal> {
        let wishes = self.wishes().ok_or(Refusal::Closed)?;
        let (answer, answered) = oneshot::channel();
        wishes.send(Wish::Join { offer, answer }).await.map_err(|_| Refusal::Closed)?;
        answered.await.map_err(|_| Refusal::Closed)?
    }

    /// Lets a viewer go; whether there was one.
    pub async fn leave(&self, viewer: String) -> bool {
        let Some(wishes) = self.wishes() else { return false };
        let (answer, answered) = oneshot::channel();
        wishes.send(Wish::Leave { viewer, answer }).await.is_ok() && answered.await.unwrap_or(false)
    }
}

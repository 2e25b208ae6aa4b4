//! The freshest-frame slot between a source and the frame's way.
//!
//! A live source never waits: a frame that comes before the last one was taken displaces it, and
//! the displaced one is counted. Any other source waits until its frame is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, unbounded};

use crate::frame::Frame;

/// Why a source stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The source's element or device reported a failure.
    #[error("source {name}: {message}. {remedy}")]
    Failed {
        /// The source as configured.
        name: String,
        /// What the element said.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The source ended before the length it had stated.
    #[error(
        "source {name} is cut short: it ended at {ended:.2?} of {stated:.2?}. Every whole frame up to there \
         was processed; copy or record the file again for the rest"
    )]
    CutShort {
        /// The source as configured.
        name: String,
        /// End of its last frame.
        ended: Duration,
        /// The duration it had stated.
        stated: Duration,
    },
}

/// What a source has next.
pub enum Next {
    /// A frame.
    Frame(Frame),
    /// Nothing within the time given.
    Idle,
    /// The source has ended; every frame was handed out before.
    End(Result<(), SourceError>),
}

/// A source's end of the slot.
#[derive(Clone)]
pub struct SlotSender {
    frames: Sender<Frame>,
    displace: Receiver<Frame>,
    end: Sender<Result<(), SourceError>>,
    live: bool,
    counts: Arc<Counts>,
}

/// The frame's way's end of the slot.
pub struct Slot {
    frames: Receiver<Frame>,
    end: Receiver<Result<(), SourceError>>,
    ended: Option<Result<(), SourceError>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    arrived: AtomicU64,
    displaced: AtomicU64,
    /// End of the latest frame on the source's time line, in ns.
    position: AtomicU64,
}

/// Makes a slot; a `live` source displaces, any other waits.
pub fn slot(live: bool) -> (SlotSender, Slot) {
    let (sender, frames) = bounded(1);
    let (end_sender, end) = unbounded();
    let counts = Arc::new(Counts::default());
    let displace = frames.clone();
    let sender = SlotSender { frames: sender, displace, end: end_sender, live, counts: counts.clone() };
    (sender, Slot { frames, end, ended: None, counts })
}

impl SlotSender {
    /// Hands a frame over; false when nobody will take it any more.
    pub fn send(&self, frame: Frame) -> bool {
        self.counts.arrived.fetch_add(1, Ordering::Relaxed);
        if let Some(pts) = frame.buffer.pts() {
            let end = pts + frame.buffer.duration().unwrap_or_default();
            self.counts.position.fetch_max(end.nseconds(), Ordering::Relaxed);
        }
        if !self.live {
            return self.frames.send(frame).is_ok();
        }
        let mut frame = frame;
        loop {
            match self.frames.try_send(frame) {
                Ok(()) => return true,
                Err(crossbeam_channel::TrySendError::Disconnected(_)) => return false,
                Err(crossbeam_channel::TrySendError::Full(back)) => frame = back,
            }
            if self.displace.try_recv().is_ok() {
                self.counts.displaced.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// End of the latest frame on the source's time line.
    pub fn position(&self) -> Duration {
        Duration::from_nanos(self.counts.position.load(Ordering::Relaxed))
    }

    /// Says that no frame will follow. Only the first word counts.
    pub fn end(&self, how: Result<(), SourceError>) {
        // Nobody listens any more when the daemon is stopping; then nothing is lost.
        let _ = self.end.send(how);
    }
}

impl Slot {
    /// Waits up to `timeout` for the next frame. The end is told only after the last frame.
    pub fn next(&mut self, timeout: Duration) -> Next {
        if self.ended.is_none() {
            let end = self.end.clone();
            crossbeam_channel::select! {
                recv(self.frames) -> frame => return frame.map_or(Next::Idle, Next::Frame),
                recv(end) -> how => self.ended = Some(how.unwrap_or(Ok(()))),
                default(timeout) => return Next::Idle,
            }
        }
        // A producer that was inside `send` when it ended gets its frame through.
        match self.frames.recv_timeout(Duration::ZERO) {
            Ok(frame) => Next::Frame(frame),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Next::End(self.ended.clone().unwrap_or(Ok(())))
            }
        }
    }

    /// The failure that ended the source, if one has already.
    pub fn failure(&mut self) -> Option<SourceError> {
        if self.ended.is_none() {
            self.ended = self.end.try_recv().ok();
        }
        self.ended.clone()?.err()
    }

    /// Frames that the source handed over.
    pub fn arrived(&self) -> u64 {
        self.counts.arrived.load(Ordering::Relaxed)
    }

    /// Frames displaced by a fresher one.
    pub fn displaced(&self) -> u64 {
        self.counts.displaced.load(Ordering::Relaxed)
    }

    /// Takes the frame that was left when the daemon stopped, so that it is counted.
    pub fn discard(&mut self) -> u64 {
        let mut left = 0;
        while !matches!(self.frames.try_recv(), Err(TryRecvError::Empty | TryRecvError::Disconnected)) {
            left += 1;
        }
        left
    }
}

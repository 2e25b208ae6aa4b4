//! The freshest-frame slot between a source and the frame's way.
//!
//! A live source never waits: a frame that comes before the last one was taken displaces it, and
//! the displaced one is counted. Any other source waits until its frame is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

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
    /// Frames in the middle are missing or damaged.
    #[error(
        "source {name} is damaged: about {frames} frames are missing or broken. Every frame that could be \
         decoded was processed; copy or record the file again for the rest"
    )]
    Damaged {
        /// The source as configured.
        name: String,
        /// How many.
        frames: u64,
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
    /// A live source's means of displacing; any other's absence lets it see the slot go.
    displace: Option<Receiver<Frame>>,
    end: Sender<Result<(), SourceError>>,
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
    /// The slot is gone.
    closed: AtomicBool,
}

/// Makes a slot; a `live` source displaces, any other waits.
pub fn slot(live: bool) -> (SlotSender, Slot) {
    let (sender, frames) = bounded(1);
    let (end_sender, end) = unbounded();
    let counts = Arc::new(Counts::default());
    let displace = live.then(|| frames.clone());
    let sender = SlotSender { frames: sender, displace, end: end_sender, counts: counts.clone() };
    (sender, Slot { frames, end, ended: None, counts })
}

impl SlotSender {
    /// Hands a frame over; false when nobody will take it any more.
    pub fn send(&self, frame: Frame) -> bool {
        if let Some(pts) = frame.buffer.pts() {
            let end = pts + frame.buffer.duration().unwrap_or_default();
            self.counts.position.fetch_max(end.nseconds(), Ordering::Relaxed);
        }
        let Some(displace) = &self.displace else {
            let is_sent = self.frames.send(frame).is_ok();
            self.counts.arrived.fetch_add(u64::from(is_sent), Ordering::Relaxed);
            return is_sent;
        };
        let mut frame = frame;
        while !self.counts.closed.load(Ordering::Relaxed) {
            match self.frames.try_send(frame) {
                Ok(()) => {
                    self.counts.arrived.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => frame = back,
            }
            if displace.try_recv().is_ok() {
                self.counts.displaced.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
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
                recv(self.frames) -> frame => if let Ok(frame) = frame { return Next::Frame(frame) },
                recv(end) -> how => self.ended = Some(how.unwrap_or(Ok(()))),
                default(timeout) => return Next::Idle,
            }
        }
        if self.ended.is_none() {
            // Every sender is gone; the last word of one of them waits.
            self.ended = Some(self.end.try_recv().unwrap_or(Ok(())));
        }
        // A producer that was inside `send` when it ended gets its frame through.
        match self.frames.try_recv() {
            Ok(frame) => Next::Frame(frame),
            Err(_) => Next::End(self.ended.clone().unwrap_or(Ok(()))),
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

    /// Whether [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.counts.closed.load(Ordering::Relaxed)
    }

    /// Refuses every further frame: from here on `arrived` stands still.
    pub fn close(&mut self) {
        self.counts.closed.store(true, Ordering::Relaxed);
        // The other end of this channel is gone already, so is the one that a sender waits at.
        self.frames = bounded(0).1;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use gst_video::{VideoFormat, VideoInfo};

    use super::*;

    fn frame(n: u64) -> Frame {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::with_size(16).unwrap();
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(n));
        let info = Arc::new(VideoInfo::builder(VideoFormat::I420, 4, 4).build().unwrap());
        Frame { buffer, info, arrived: Instant::now(), truth: None }
    }

    fn number(next: Next) -> Option<u64> {
        match next {
            Next::Frame(frame) => frame.buffer.pts().map(gst::ClockTime::mseconds),
            Next::Idle | Next::End(_) => None,
        }
    }

    #[test]
    fn a_live_source_displaces_and_counts() {
        let (sender, mut slot) = slot(true);
        for n in 0..5 {
            assert!(sender.send(frame(n)));
        }
        assert_eq!(number(slot.next(Duration::ZERO)), Some(4), "the freshest");
        assert!(matches!(slot.next(Duration::ZERO), Next::Idle));
        assert_eq!((slot.arrived(), slot.displaced()), (5, 4));
    }

    #[test]
    fn any_other_source_waits_and_loses_nothing() {
        let (sender, mut slot) = slot(false);
        let producer = thread::spawn(move || {
            (0..50).for_each(|n| assert!(sender.send(frame(n))));
            sender.end(Ok(()));
        });
        for n in 0..50 {
            assert_eq!(number(slot.next(Duration::from_secs(5))), Some(n));
        }
        producer.join().unwrap();
        assert!(matches!(slot.next(Duration::from_secs(5)), Next::End(Ok(()))));
        assert_eq!((slot.arrived(), slot.displaced()), (50, 0));
    }

    #[test]
    fn the_end_comes_after_the_last_frame_and_stays() {
        let (sender, mut slot) = slot(true);
        sender.send(frame(7));
        let cut = SourceError::CutShort {
            name: "clip".into(),
            ended: Duration::from_secs(1),
            stated: Duration::from_secs(2),
        };
        sender.end(Err(cut.clone()));
        sender.end(Ok(()));
        assert_eq!(slot.failure(), Some(cut));
        assert_eq!(number(slot.next(Duration::ZERO)), Some(7));
        for _ in 0..2 {
            assert!(matches!(slot.next(Duration::ZERO), Next::End(Err(SourceError::CutShort { .. }))));
        }
    }

    #[test]
    fn a_sender_learns_that_nobody_takes_frames() {
        for live in [true, false] {
            let (sender, receiver) = slot(live);
            assert!(sender.send(frame(0)));
            // Both kinds are waiting or about to wait for room when the slot goes.
            let producer = thread::spawn(move || while sender.send(frame(1)) {});
            drop(receiver);
            producer.join().unwrap();
        }
    }
}

//! The freshest-frame slot between a source and the frame path.
//!
//! A live source never waits: a frame that comes before the last one was taken displaces it, and
//! the displaced one is counted. Any other source waits until its frame is taken.
//!
//! A slot lives as long as its source. The counts live as long as the daemon and outlast every source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use crate::frame::{Frame, InputStatus};
use crate::source::failure::SourceError;

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
    /// Only a live source can displace a frame.
    displace: Option<Receiver<Frame>>,
    end: Sender<Result<(), SourceError>>,
    shared: Arc<Shared>,
    counts: Arc<FrameCounts>,
}

/// The frame path's end of the slot.
pub struct Slot {
    frames: Receiver<Frame>,
    end: Receiver<Result<(), SourceError>>,
    ended: Option<Result<(), SourceError>>,
    shared: Arc<Shared>,
    counts: Arc<FrameCounts>,
}

/// What both ends know.
#[derive(Default)]
struct Shared {
    /// End of the latest frame on the source's time line, in ns.
    position: AtomicU64,
    /// The frame path takes no more.
    closed: AtomicBool,
    /// What the device's driver says of its input: its place in [`INPUTS`].
    input: AtomicU8,
}

/// Every status, the one of a device that nobody asks first.
const INPUTS: [InputStatus; 6] = [
    InputStatus::Unknown,
    InputStatus::Present,
    InputStatus::NoSignal,
    InputStatus::NoPower,
    InputStatus::NoLock,
    InputStatus::OutOfRange,
];

/// What became of the frames of all sources. A frame that waits in a slot is in none of the counts yet, so frames in
/// are never fewer than frames out.
#[derive(Default)]
pub struct FrameCounts {
    /// Taken by the frame path.
    taken: AtomicU64,
    /// Displaced by fresher ones.
    displaced: AtomicU64,
    /// Left in a slot that was closed.
    discarded: AtomicU64,
}

impl FrameCounts {
    /// Frames that sources handed over.
    pub fn arrived(&self) -> u64 {
        self.taken.load(Ordering::Relaxed) + self.displaced() + self.discarded()
    }

    /// Frames displaced by fresher ones.
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Frames that were never taken: the daemon stopped, or another source came.
    pub fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }
}

/// Makes a slot; a `live` source displaces, any other waits.
pub fn slot(live: bool, counts: &Arc<FrameCounts>) -> (SlotSender, Slot) {
    let (sender, frames) = bounded(1);
    let (end_sender, end) = unbounded();
    let shared = Arc::new(Shared::default());
    let displace = live.then(|| frames.clone());
    let sender = SlotSender {
        frames: sender,
        displace,
        end: end_sender,
        shared: shared.clone(),
        counts: counts.clone(),
    };
    (sender, Slot { frames, end, ended: None, shared, counts: counts.clone() })
}

impl SlotSender {
    /// Hands a frame over; false when nobody will take it any more.
    pub fn send(&self, frame: Frame) -> bool {
        if let Some(pts) = frame.buffer.pts() {
            let end = pts + frame.buffer.duration().unwrap_or_default();
            self.shared.position.fetch_max(end.nseconds(), Ordering::Relaxed);
        }
        let Some(displace) = &self.displace else {
            return self.frames.send(frame).is_ok();
        };
        let mut frame = frame;
        while !self.shared.closed.load(Ordering::Relaxed) {
            match self.frames.try_send(frame) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => frame = back,
            }
            if displace.try_recv().is_ok() {
                self.counts.displaced.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
    }

    /// Whether somebody may still take a frame.
    pub fn is_open(&self) -> bool {
        !self.shared.closed.load(Ordering::Relaxed)
    }

    /// Counts frames that came and were passed over for fresher ones.
    pub fn pass_over(&self, frames: u64) {
        self.counts.displaced.fetch_add(frames, Ordering::Relaxed);
    }

    /// The device's driver says this of its input.
    pub fn set_input(&self, status: InputStatus) {
        let place = INPUTS.iter().position(|known| *known == status).unwrap_or_default();
        self.shared.input.store(place as u8, Ordering::Relaxed);
    }

    /// End of the latest frame on the source's time line.
    pub fn position(&self) -> Duration {
        Duration::from_nanos(self.shared.position.load(Ordering::Relaxed))
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
            crossbeam_channel::select! {
                recv(self.frames) -> frame => if let Ok(frame) = frame { return self.take(frame) },
                recv(self.end) -> how => self.ended = Some(how.unwrap_or(Ok(()))),
                default(timeout) => return Next::Idle,
            }
        }
        if self.ended.is_none() {
            // Every sender is gone; the last word of one of them waits.
            self.ended = Some(self.end.try_recv().unwrap_or(Ok(())));
        }
        // A producer that was inside `send` when it ended gets its frame through.
        match self.frames.try_recv() {
            Ok(frame) => self.take(frame),
            Err(_) => Next::End(self.ended.clone().unwrap_or(Ok(()))),
        }
    }

    /// What the device's driver says of its input.
    pub fn input(&self) -> InputStatus {
        INPUTS[usize::from(self.shared.input.load(Ordering::Relaxed)) % INPUTS.len()]
    }

    fn take(&self, frame: Frame) -> Next {
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        Next::Frame(frame)
    }

    /// The failure that ended the source, if one has already.
    pub fn failure(&mut self) -> Option<SourceError> {
        if self.ended.is_none() {
            self.ended = self.end.try_recv().ok();
        }
        self.ended.clone()?.err()
    }

    /// Refuses every further frame, and counts the one that waits as discarded.
    pub fn close(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // The other end of this channel is gone already, so is the one that a sender waits at.
        let frames = std::mem::replace(&mut self.frames, bounded(0).1);
        let waiting = frames.try_iter().count() as u64;
        self.counts.discarded.fetch_add(waiting, Ordering::Relaxed);
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
        Frame { buffer, info, arrived: Instant::now(), truth: None, spacing: None }
    }

    fn counted(live: bool) -> (Arc<FrameCounts>, (SlotSender, Slot)) {
        let counts = Arc::default();
        let ends = slot(live, &counts);
        (counts, ends)
    }

    fn number(next: Next) -> Option<u64> {
        match next {
            Next::Frame(frame) => frame.buffer.pts().map(gst::ClockTime::mseconds),
            Next::Idle | Next::End(_) => None,
        }
    }

    #[test]
    fn a_live_source_displaces_and_counts() {
        let (counts, (sender, mut slot)) = counted(true);
        for n in 0..5 {
            assert!(sender.send(frame(n)));
        }
        assert_eq!(number(slot.next(Duration::ZERO)), Some(4), "the freshest");
        assert!(matches!(slot.next(Duration::ZERO), Next::Idle));
        assert_eq!((counts.arrived(), counts.displaced()), (5, 4));
    }

    #[test]
    fn any_other_source_waits_and_loses_nothing() {
        let (counts, (sender, mut slot)) = counted(false);
        let producer = thread::spawn(move || {
            (0..50).for_each(|n| assert!(sender.send(frame(n))));
            sender.end(Ok(()));
        });
        for n in 0..50 {
            assert_eq!(number(slot.next(Duration::from_secs(5))), Some(n));
        }
        producer.join().unwrap();
        assert!(matches!(slot.next(Duration::from_secs(5)), Next::End(Ok(()))));
        assert_eq!((counts.arrived(), counts.displaced()), (50, 0));
    }

    #[test]
    fn the_end_comes_after_the_last_frame_and_stays() {
        let (_, (sender, mut slot)) = counted(true);
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
            let (_, (sender, receiver)) = counted(live);
            assert!(sender.send(frame(0)));
            // Both kinds are waiting or about to wait for room when the slot goes.
            let producer = thread::spawn(move || while sender.send(frame(1)) {});
            drop(receiver);
            producer.join().unwrap();
        }
    }

    #[test]
    fn a_frame_that_nobody_took_is_discarded_and_the_counts_outlast_the_source() {
        let counts = Arc::default();
        for n in 1..=3 {
            let (sender, mut slot) = slot(true, &counts);
            assert!(sender.send(frame(0)) && sender.send(frame(1)));
            assert_eq!(number(slot.next(Duration::ZERO)), Some(1));
            assert!(sender.send(frame(2)));
            drop(slot);
            assert!(!sender.send(frame(3)));
            assert_eq!((counts.arrived(), counts.displaced(), counts.discarded()), (3 * n, n, n));
        }
    }
}

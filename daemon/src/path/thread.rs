//! The frame thread: takes frames from the source's slot along the frame path, and changes between two frames.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::frame::Frame;
use crate::infer::Inference;
use crate::path::change::{Change, Event, Retired, Sinks};
use crate::path::frame_path::FramePath;
use crate::source::slot::{Next, Slot};

/// Changes that may wait to be taken.
const CHANGES: usize = 64;
/// Longest wait for a frame before changes are looked at again.
const POLL: Duration = Duration::from_millis(20);
/// Longest wait of a live source's first frame for sinks to open, other than screens.
const FIRST: Duration = Duration::from_secs(2);

/// The running thread.
pub struct FrameThread {
    /// Changes to take between two frames. Dropped, the thread ends.
    pub changes: Sender<Change>,
    thread: JoinHandle<Dismantled>,
}

/// What the thread leaves when it ends.
pub struct Dismantled {
    /// The source's slot, if one is there.
    pub slot: Option<Slot>,
    /// The engine.
    pub inference: Inference,
    /// Sinks that have not been ended.
    pub sinks: Sinks,
}

impl FrameThread {
    /// Ends the thread and returns what it had, which has to be ended too. None if it panicked.
    pub fn end(self) -> Option<Dismantled> {
        drop(self.changes);
        self.thread.join().ok()
    }
}

/// Starts the thread; `first` runs on it before anything else. A source that is not `live` waits until the sinks can
/// take its frames, unless the daemon is told to `stop`.
///
/// # Errors
/// When no thread can be started.
pub fn start(
    path: FramePath,
    live: bool,
    stop: Arc<AtomicBool>,
    first: impl FnOnce() + Send + 'static,
) -> Result<FrameThread> {
    let (changes, taken) = bounded(CHANGES);
    let run = move || {
        first();
        let mut this = Running { path, slot: None, changes: taken, live, stop, has_begun: false };
        let ended = this.run();
        this.path.report(Event::Ended(ended));
        let (inference, sinks) = this.path.dismantle();
        Dismantled { slot: this.slot, inference, sinks }
    };
    let thread =
        thread::Builder::new().name("frame".into()).spawn(run).context("cannot start the frame thread")?;
    Ok(FrameThread { changes, thread })
}

struct Running {
    path: FramePath,
    slot: Option<Slot>,
    changes: Receiver<Change>,
    live: bool,
    stop: Arc<AtomicBool>,
    /// A frame of a source has come.
    has_begun: bool,
}

impl Running {
    fn run(&mut self) -> Result<()> {
        while self.take_changes().is_continue() {
            self.path.beat();
            let Some(slot) = &mut self.slot else {
                match self.changes.recv_timeout(POLL) {
                    Ok(change) => self.apply(change),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                self.path.wait(Instant::now())?;
                continue;
            };
            let next = slot.next(POLL);
            self.path.input(slot.input());
            match next {
                Next::Frame(frame) => self.take(frame)?,
                Next::Idle => drop(self.path.wait(Instant::now())?),
                Next::End(how) => {
                    if let Some(slot) = self.slot.take() {
                        self.path.retire(Retired::Source(slot));
                    }
                    self.path.report(Event::SourceEnded(how));
                }
            }
        }
        Ok(())
    }

    fn take_changes(&mut self) -> ControlFlow<()> {
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.apply(change),
                Err(TryRecvError::Empty) => return ControlFlow::Continue(()),
                Err(TryRecvError::Disconnected) => return ControlFlow::Break(()),
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Source(slot) => {
                self.path.change_source();
                if let Some(old) = self.slot.replace(slot) {
                    self.path.retire(Retired::Source(old));
                }
            }
            change => self.path.apply(change),
        }
    }

    fn take(&mut self, frame: Frame) -> Result<()> {
        let layout = self.path.prepare(&frame.info, frame.arrived);
        // A live video goes on while sinks open, but for its beginning.
        if let Some(number) = layout.filter(|_| !self.live || !self.has_begun) {
            self.wait_for_sinks(number);
        }
        self.has_begun = true;
        self.path.pass(frame).map(drop)
    }

    fn wait_for_sinks(&mut self, layout: u64) {
        let deadline = Instant::now() + FIRST;
        while (!self.live || Instant::now() < deadline) && !self.stop.load(Ordering::Relaxed) {
            self.path.beat();
            match self.changes.recv_timeout(POLL) {
                Ok(Change::Settled(number)) if number == layout => return,
                Ok(change) => self.apply(change),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

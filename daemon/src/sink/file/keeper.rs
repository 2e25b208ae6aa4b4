//! What is done for a recording beside its writing: finished files are closed, old ones deleted to make room, and all are
//! brought to the disk every second. Each of these may wait for a disk, so that they have threads; bringing something to
//! the disk takes longest, and has its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::sink::file::segment::{Plan, Segment, Watched};
use crate::sink::file::shelf::Shelf;
use crate::sink::file::sidecar::End;

/// Time between looks.
const LOOK: Duration = Duration::from_secs(1);
/// What finishing a file may take while others are written.
const FINISH: Duration = Duration::from_secs(20);

/// Files that may wait to be brought to the disk.
const SYNCS: usize = 16;

/// What is to be done.
pub enum Task {
    /// This file is written from now on.
    Watch(Watched),
    /// No unit follows in this one.
    Finish(Box<Segment>, End),
}

/// The thread's own end.
pub struct Keeper {
    plan: Arc<Plan>,
    tasks: Receiver<Task>,
    watched: Arc<Watched>,
    shelf: Shelf,
    /// What was written up to the last look, and between the two before.
    written: u64,
    growth: u64,
}

impl Keeper {
    /// Starts the thread. Returns what takes tasks, and what disconnects when all are done.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(plan: &Arc<Plan>, first: Watched) -> Result<(Sender<Task>, Receiver<()>)> {
        let (send, tasks) = unbounded();
        let (alive, done) = bounded(0);
        let shelf = Shelf::new(&plan.settings);
        let (syncs, due) = bounded::<Arc<Watched>>(SYNCS);
        let sync = move || {
            due.iter().for_each(|watched| watched.sync());
            drop(alive);
        };
        thread::Builder::new().name("recordings-sync".into()).spawn(sync).context("cannot start a thread")?;
        let keeper =
            Self { plan: plan.clone(), tasks, watched: Arc::new(first), shelf, written: 0, growth: 0 };
        // The other thread ends with this one, and frees what stands for both.
        let run = move || keeper.run(&syncs);
        thread::Builder::new().name("recordings".into()).spawn(run).context("cannot start a thread")?;
        Ok((send, done))
    }

    fn run(mut self, syncs: &Sender<Arc<Watched>>) {
        self.look();
        let mut due = Instant::now() + LOOK;
        loop {
            match self.tasks.recv_deadline(due) {
                Ok(Task::Watch(watched)) => {
                    self.watched = Arc::new(watched);
                    self.look();
                    self.make_room();
                }
                Ok(Task::Finish(segment, why)) => {
                    if let Some(written) = segment.finish(why, Instant::now() + FINISH) {
                        // Where there is no room the system brings it to the disk in its own time.
                        let _ = syncs.try_send(Arc::new(written));
                    }
                    self.look();
                    self.make_room();
                }
                Err(RecvTimeoutError::Timeout) => {
                    due = Instant::now() + LOOK;
                    // One that waits already will find what was written in the meantime, too.
                    if syncs.is_empty() {
                        let _ = syncs.try_send(self.watched.clone());
                    }
                    let written = self.plan.bytes.load(Ordering::Relaxed);
                    self.growth = written - std::mem::replace(&mut self.written, written);
                    self.make_room();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    fn look(&mut self) {
        self.shelf.look(Some(self.watched.place.path()));
    }

    /// Deletes what has to go before as much was written as in the last two seconds.
    fn make_room(&mut self) {
        let size = Shelf::size(self.watched.place.path()) + 2 * self.growth;
        if let Err(error) = self.shelf.make_room(size, &self.plan.status) {
            self.plan.status.fail(format!("{error:#}"));
        }
    }
}

//! The recording's own thread: it takes units from the encoder, cuts them into files at IDRs, and writes the sidecars. A
//! disk that is slow or hangs, and a next file that is being opened, keep this thread waiting and nobody else.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded, select};

use crate::lock::lock;
use crate::sink::encode::{Unit, Units};
use crate::sink::feed::{STALL, Taken, UNITS};
use crate::sink::file::cut::Cut;
use crate::sink::file::keeper::{Keeper, Task};
use crate::sink::file::note::{Note, Pending};
use crate::sink::file::segment::{Plan, Segment};
use crate::sink::file::sidecar::End;
use crate::sink::{SinkError, SinkStatus};

/// Time between looks at whether the recording has failed.
const POLL: Duration = Duration::from_millis(50);
/// Time between looks at whether the file is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Where the encoder's thread puts units.
pub struct Intake {
    /// None once no unit follows.
    units: Mutex<Option<Sender<Unit>>>,
    live: bool,
    status: Arc<SinkStatus>,
    /// Since when there is no room; only who hands units over looks at it.
    full_since: Mutex<Option<Instant>>,
}

impl Units for Intake {
    fn give(&self, unit: &Unit) -> Taken {
        // Never waits with the lock held: the frame thread may want to end it.
        let Some(units) = lock(&self.units).clone() else { return Taken::Failed };
        let mut unit = match units.try_send(unit.clone()) {
            Ok(()) => {
                *lock(&self.full_since) = None;
                return Taken::Yes;
            }
            Err(TrySendError::Disconnected(_)) => return Taken::Failed,
            Err(TrySendError::Full(unit)) => unit,
        };
        let since = *lock(&self.full_since).get_or_insert_with(Instant::now);
        while since.elapsed() <= STALL {
            if self.live {
                return Taken::Busy;
            }
            unit = match units.send_timeout(unit, POLL) {
                Ok(()) => {
                    *lock(&self.full_since) = None;
                    return Taken::Yes;
                }
                Err(SendTimeoutError::Timeout(unit)) => unit,
                Err(SendTimeoutError::Disconnected(_)) => return Taken::Failed,
            };
        }
        self.status.fail(format!("its disk has taken no frame for {STALL:?}"));
        Taken::Failed
    }

    fn has_room(&self) -> bool {
        lock(&self.units).as_ref().is_some_and(|units| !units.is_full())
    }

    fn end(&self) {
        *lock(&self.units) = None;
    }
}

/// The thread's own end.
struct Recorder {
    plan: Arc<Plan>,
    units: Receiver<Unit>,
    notes: Receiver<Note>,
    pending: Pending,
    cut: Cut,
    segment: Segment,
    keeper: Sender<Task>,
    /// When it was last looked whether the file is still there.
    looked: Instant,
}

/// Starts the threads of a recording whose first file is open. Returns where units go, and what disconnects when everything
/// is on the disk.
///
/// # Errors
/// When no thread can be started.
pub fn start(
    plan: Arc<Plan>,
    first: Segment,
    notes: Receiver<Note>,
) -> Result<(Arc<Intake>, Receiver<()>), SinkError> {
    let failed = |error: anyhow::Error| SinkError::Unavailable(error);
    let (units, taken) = bounded(UNITS as usize);
    let (keeper, done) = Keeper::start(&plan, first.watched()).map_err(failed)?;
    let intake = Intake {
        units: Mutex::new(Some(units)),
        live: plan.context.live,
        status: plan.status.clone(),
        full_since: Mutex::default(),
    };
    let cut = Cut::new(plan.settings.segment);
    let recorder = Recorder {
        plan,
        units: taken,
        notes,
        pending: Pending::default(),
        cut,
        segment: first,
        keeper,
        looked: Instant::now(),
    };
    let run = move || recorder.run();
    thread::Builder::new()
        .name("recorder".into())
        .spawn(run)
        .context("cannot start a thread")
        .map_err(failed)?;
    Ok((Arc::new(intake), done))
}

impl Recorder {
    fn run(mut self) {
        let mut notes = self.notes.clone();
        loop {
            select! {
                recv(self.units) -> unit => match unit {
                    // A frame's note is sent before the frame, so that it is there.
                    Ok(unit) => if !self.take(&unit) { break },
                    Err(_) => break,
                },
                recv(notes) -> note => match note {
                    Ok(note) => self.note(note),
                    Err(_) => notes = crossbeam_channel::never(),
                },
            }
        }
        let why = if self.plan.status.has_failed() { End::Failed } else { End::Ended };
        self.segment.end();
        // Nobody hears it when the keeper crashed.
        let _ = self.keeper.send(Task::Finish(Box::new(self.segment), why));
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Frame(note) => self.pending.push(note),
            Note::NoSignal(at) => self.segment.no_signal(at),
        }
    }

    /// Whether more can be taken.
    fn take(&mut self, unit: &Unit) -> bool {
        while let Ok(note) = self.notes.try_recv() {
            self.note(note);
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.segment.look();
        }
        let size = unit.buffer.size();
        if self.cut.is_before(unit.at, unit.is_key, size) && !self.go_on() {
            return false;
        }
        let note = self.pending.take(unit.at);
        self.segment.take(unit, note.as_ref()) == Taken::Yes
    }

    /// Goes on in the next file. Whether there is one.
    fn go_on(&mut self) -> bool {
        let next = match Segment::open(&self.plan, Some(&self.segment)) {
            Ok(next) => next,
            Err(SinkError::Misconfigured(error) | SinkError::Unavailable(error)) => {
                self.plan.status.fail(format!("its next file cannot be opened: {error:#}"));
                return false;
            }
        };
        let watched = next.watched();
        let last = std::mem::replace(&mut self.segment, next);
        last.end();
        let tasks = [Task::Watch(watched), Task::Finish(Box::new(last), End::Continued)];
        tasks.into_iter().all(|task| self.keeper.send(task).is_ok())
    }
}

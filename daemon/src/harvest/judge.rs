//! Decides which pictures are kept. Its time is that of the pictures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, never, select};

use crate::config;
use crate::control::Reason;
use crate::harvest::case::Case;
use crate::harvest::figures::{Figures, Gauge, Grid, jumped};
use crate::harvest::item::{Cause, random_name};
use crate::harvest::shelf;
use crate::harvest::status::Status;
use crate::harvest::stock::{Buffers, Of, Seen};
use crate::harvest::writer::{Keep, Task};
use crate::infer::Why;

/// A flag keeps pictures of so long before and after it.
const AROUND: Duration = Duration::from_secs(1);
/// Time between two of them.
const PACE: Duration = Duration::from_millis(200);
/// Frames further apart than this are not consecutive.
const CONSECUTIVE: Duration = Duration::from_millis(200);
/// Time between notes of the case.
const NOTE: Duration = Duration::from_secs(60);
/// Bytes of an event's name.
const EVENT: usize = 8;

/// The thread's own end.
pub struct Judge {
    settings: config::Harvest,
    buffers: Buffers,
    tasks: Sender<Task>,
    status: Arc<Status>,
    gauge: Gauge,
    case: Case,
    /// When which case was noted last.
    noted: Option<(Instant, String)>,
    /// Pictures of the last second, the oldest first, as a flag takes them.
    recent: VecDeque<Held>,
    /// The newest, while it is not among them.
    newest: Option<Held>,
    /// Figures of the last frame.
    before: Option<Before>,
    /// When one was kept that nobody flagged, and what it showed.
    kept: Option<(Instant, Grid)>,
    flag: Option<Flag>,
}

/// A picture that may still be wanted.
struct Held {
    seen: Box<Seen>,
    of: Of,
    figures: Figures,
}

struct Before {
    scene: u64,
    generation: u64,
    arrived: Instant,
    area: u32,
    grid: Grid,
}

/// A flag whose second is not over.
struct Flag {
    reason: Reason,
    event: String,
    next: Instant,
    until: Instant,
}

impl Judge {
    /// Hands what is kept to the writer.
    pub fn new(
        settings: &config::Harvest,
        buffers: Buffers,
        tasks: Sender<Task>,
        status: Arc<Status>,
    ) -> Self {
        let note = shelf::note(&settings.path);
        Self {
            case: Case::resume(note, settings.case_gap, Instant::now(), SystemTime::now()),
            settings: settings.clone(),
            buffers,
            tasks,
            status,
            gauge: Gauge::new(),
            noted: None,
            recent: VecDeque::new(),
            newest: None,
            before: None,
            kept: None,
            flag: None,
        }
    }

    /// Looks at what is `seen` until it ends.
    pub fn run(mut self, seen: &Receiver<Option<Box<Seen>>>, flagged: &Receiver<Reason>) {
        // What has time goes behind what has none.
        let _ = rustix::process::nice(10);
        let mut flagged = flagged.clone();
        loop {
            select! {
                recv(seen) -> seen => match seen {
                    Ok(Some(seen)) => self.look(seen),
                    _ => break,
                },
                recv(flagged) -> reason => match reason {
                    Ok(reason) => self.flag(reason, Instant::now()),
                    Err(_) => flagged = never(),
                },
            }
        }
        if self.noted.is_some() {
            self.note_case(Instant::now());
        }
    }

    /// Looks at one picture.
    pub fn look(&mut self, seen: Box<Seen>) {
        let Some(of) = seen.of.clone() else { return self.buffers.put_back(seen) };
        let figures = self.gauge.take(&seen.map, of.model.threshold, of.model.min_area);
        let grid = Grid::of(&seen.crop);
        let now = of.arrived;
        let held = Held { seen, of, figures };
        match held.of.why {
            Some(Why::Disagreement { dice }) if self.is_due(now, &grid) => {
                self.kept = Some((now, grid));
                self.keep(held, Cause::Disagreement, None, Some(dice), random_name(EVENT));
            }
            Some(Why::Disagreement { .. }) => self.buffers.put_back(held.seen),
            None => self.judge(held, grid),
        }
    }

    fn judge(&mut self, held: Held, grid: Grid) {
        let (now, figures, scene) = (held.of.arrived, held.figures, held.of.scene);
        let (generation, min_area) = (held.of.model.generation, held.of.model.min_area);
        let moves = self.before.as_ref().is_none_or(|before| grid.moved(&before.grid));
        self.case.see(now, moves);
        let has_jumped = self.before.as_ref().is_some_and(|before| {
            (before.scene, before.generation) == (scene, generation)
                && now.saturating_duration_since(before.arrived) <= CONSECUTIVE
                && jumped(before.area, figures.area, self.settings.area_jump, min_area)
        });
        self.before =
            Some(Before { scene, generation, arrived: now, area: figures.area, grid: grid.clone() });
        self.forget_old(now);
        if let Some(flag) = self.flag.as_mut().filter(|flag| now >= flag.next && now <= flag.until) {
            flag.next = now + PACE;
            let (reason, event) = (flag.reason, flag.event.clone());
            self.keep(held, Cause::Flagged, Some(reason), None, event);
        } else if has_jumped && self.is_due(now, &grid) {
            self.kept = Some((now, grid));
            let event = random_name(EVENT);
            if let Some(before) = self.newest.take() {
                self.keep(before, Cause::AreaJump, None, None, event.clone());
            }
            self.keep(held, Cause::AreaJump, None, None, event);
        } else if figures.uncertainty >= self.settings.uncertainty && self.is_due(now, &grid) {
            self.kept = Some((now, grid));
            self.keep(held, Cause::Uncertain, None, None, random_name(EVENT));
        } else {
            self.hold(held);
        }
        if self.noted.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= NOTE) {
            self.note_case(now);
        }
    }

    /// Whether one that nobody flagged may be kept again, and shows something else.
    fn is_due(&self, now: Instant, grid: &Grid) -> bool {
        self.kept.as_ref().is_none_or(|(at, shown)| {
            now.saturating_duration_since(*at) >= self.settings.min_interval && grid.moved(shown)
        })
    }

    /// Somebody flagged the moment.
    pub fn flag(&mut self, reason: Reason, now: Instant) {
        self.forget_old(now);
        let event = random_name(EVENT);
        let newest = self.newest.take();
        for held in self.recent.drain(..).chain(newest).collect::<Vec<_>>() {
            self.keep(held, Cause::Flagged, Some(reason), None, event.clone());
        }
        self.flag = Some(Flag { reason, event, next: now + PACE, until: now + AROUND });
        tracing::info!(?reason, "a moment was flagged");
    }

    /// The newest takes its place, among the pictures of the last second if it is time for one.
    fn hold(&mut self, held: Held) {
        let Some(before) = self.newest.replace(held) else { return };
        let last = self.recent.back().map(|last| last.of.arrived);
        match last.is_none_or(|last| before.of.arrived.saturating_duration_since(last) >= PACE) {
            true => self.recent.push_back(before),
            false => self.buffers.put_back(before.seen),
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |held: &Held| now.saturating_duration_since(held.of.arrived) > AROUND;
        while self.recent.front().is_some_and(is_old) {
            if let Some(held) = self.recent.pop_front() {
                self.buffers.put_back(held.seen);
            }
        }
        if let Some(held) = self.newest.take_if(|held| is_old(held)) {
            self.buffers.put_back(held.seen);
        }
    }

    fn keep(&mut self, held: Held, why: Cause, reason: Option<Reason>, dice: Option<f64>, event: String) {
        let Held { seen, of, figures } = held;
        let arrived = of.arrived;
        let (case, ms) = (self.case.name().to_owned(), self.case.ms(of.arrived));
        let keep = Keep { seen, of, figures, why, reason, dice, event, case, ms };
        if let Err(refused) = self.tasks.try_send(Task::Keep(Box::new(keep))) {
            self.status.count_lost();
            if let Task::Keep(keep) = refused.into_inner() {
                self.buffers.put_back(keep.seen);
            }
            return;
        }
        if self.noted.as_ref().is_none_or(|(_, case)| case != self.case.name()) {
            self.note_case(arrived);
        }
    }

    /// Has written down which case it is, so that a restart goes on with it.
    fn note_case(&mut self, now: Instant) {
        self.noted = Some((now, self.case.name().to_owned()));
        // The next one says it too.
        let _ = self.tasks.try_send(Task::Case(self.case.note(now, SystemTime::now())));
    }
}

#[cfg(test)]
mod tests;

//! The build of an engine seen from outside.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// Where a build stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildProgress {
    /// What is built, such as `fp16 engine of nerve 3`.
    pub what: String,
    /// TensorRT's name for what it does now.
    pub phase: String,
    /// Part that is done, 0..1. TensorRT counts steps, not time, and is at one of them for minutes.
    pub done: f32,
    /// Seconds since it began.
    pub seconds: f64,
}

/// One build seen from outside: how far it is, and a way to stop it.
#[derive(Debug, Default)]
pub struct BuildMonitor {
    cancel: Arc<AtomicBool>,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    what: String,
    begun: Instant,
    /// Phases within each other, the outermost first.
    phases: Vec<Phase>,
    done: f32,
}

#[derive(Debug)]
struct Phase {
    name: String,
    steps: i32,
    done: i32,
}

impl BuildMonitor {
    /// A monitor that stops its build once `cancel` is true.
    pub fn new(cancel: Arc<AtomicBool>) -> Self {
        Self { cancel, state: Mutex::default() }
    }

    /// Where the build stands; none before it begins and after it ended.
    pub fn progress(&self) -> Option<BuildProgress> {
        let state = self.state();
        let State { what, begun, phases, done } = state.as_ref()?;
        let phase = phases.last().map_or_else(String::new, |phase| phase.name.clone());
        Some(BuildProgress { what: what.clone(), phase, done: *done, seconds: begun.elapsed().as_secs_f64() })
    }

    /// Stops the build, and every later one.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether the build should stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// The build of `what` begins.
    pub fn start(&self, what: String) {
        *self.state() = Some(State { what, begun: Instant::now(), phases: vec![], done: 0.0 });
    }

    /// No build is on its way any more.
    pub fn finish(&self) {
        *self.state() = None;
    }

    /// A phase of `steps` steps begins, inside the last one or by itself.
    pub fn begin(&self, name: String, steps: i32, nested: bool) {
        if let Some(state) = &mut *self.state() {
            if !nested {
                state.phases.clear();
            }
            state.phases.push(Phase { name, steps: steps.max(1), done: 0 });
        }
    }

    /// Step `step` of a phase is done, counted from 0.
    pub fn step(&self, name: &str, step: i32) {
        if let Some(state) = &mut *self.state()
            && let Some(phase) = state.phases.iter_mut().rev().find(|phase| phase.name == name)
        {
            phase.done = phase.done.max(step.saturating_add(1)).min(phase.steps);
            state.advance();
        }
    }

    /// A phase is done.
    pub fn end(&self, name: &str) {
        if let Some(state) = &mut *self.state() {
            state.phases.retain(|phase| phase.name != name);
            state.advance();
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A step of an outer phase is as wide as the whole of the phase inside it. Never goes back.
    fn advance(&mut self) {
        let (mut done, mut width) = (0.0, 1.0);
        for phase in &self.phases {
            width /= phase.steps as f32;
            done += width * phase.done as f32;
        }
        self.done = self.done.max(done.min(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_within_phases_add_up() {
        let monitor = BuildMonitor::default();
        assert_eq!(monitor.progress(), None);
        monitor.start("engine".into());
        monitor.begin("outer".into(), 4, false);
        monitor.step("outer", 0);
        assert_eq!(monitor.progress().unwrap().done, 0.25);
        let begun = monitor.progress().unwrap().seconds;
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(monitor.progress().unwrap().seconds > begun, "time goes on without a step");
        monitor.begin("inner".into(), 2, true);
        monitor.step("inner", 0);
        let progress = monitor.progress().unwrap();
        assert_eq!((progress.phase.as_str(), progress.done), ("inner", 0.375));
        monitor.end("inner");
        assert_eq!(monitor.progress().unwrap().done, 0.375, "never back");
        monitor.step("outer", 3);
        monitor.step("unknown", 7);
        monitor.end("outer");
        assert_eq!(monitor.progress().unwrap().done, 1.0);
    }
}

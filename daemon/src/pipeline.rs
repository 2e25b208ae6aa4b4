//! What every pipeline of GStreamer needs: it is parsed, started and stopped, and none of that may hang the daemon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::bounded;
use gst::prelude::*;

use crate::exit;
use crate::lock::lock;

/// Time between looks at whether to stop.
const POLL: Duration = Duration::from_millis(50);
/// What a pipeline that is being opened gets when the daemon is told to stop.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Parses `gst-launch-1.0` notation for `what`.
///
/// # Errors
/// When an element or a property is not known.
pub fn parse(text: &str, what: &str) -> Result<gst::Pipeline> {
    gst::parse::launch(text)
        .with_context(|| format!("{what}: the pipeline `{text}` cannot be built"))?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow::anyhow!("{what}: `{text}` is not a pipeline"))
}

/// What became of a pipeline that was told to start.
pub enum Started {
    /// It plays.
    Playing,
    /// It cannot; it has to be stopped.
    Refused,
    /// It hangs. It stops by itself once it can, and must not be touched any more.
    LeftBehind(LeftBehind),
}

/// A pipeline that hangs on its way to a state, and the thread that waits for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it could not be opened in time")]
pub struct LeftBehind(Weak<()>);

impl LeftBehind {
    /// Whether it still hangs: until then another attempt would hang, too.
    pub fn hangs(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Starts a pipeline. One that hangs for longer than `patience`, or a moment longer once the daemon is told to stop, is
/// left behind.
pub fn start(pipeline: &gst::Pipeline, patience: Duration, stop: &AtomicBool) -> Started {
    match set_state(pipeline, gst::State::Playing, patience, stop) {
        Ok(true) => Started::Playing,
        Ok(false) => Started::Refused,
        Err(left) => Started::LeftBehind(left),
    }
}

/// Stops a pipeline, or leaves it behind when it does not within `patience`: an element that hangs
/// must not keep the daemon from ending.
pub fn stop(pipeline: &gst::Pipeline, patience: Duration) {
    if set_state(pipeline, gst::State::Null, patience, &AtomicBool::new(false)).is_err() {
        tracing::warn!("a pipeline did not stop in {patience:?}; it is left behind");
    }
}

/// Runs the pipeline `text`, which `prepare` gets first, to its end, for `patience` at most; `has_worked` says then whether
/// it did what it was to do.
///
/// # Errors
/// Why it did not, in a few words: those of `nothing` where neither an end nor an error says it.
pub fn try_out(
    text: &str,
    patience: Duration,
    prepare: impl FnOnce(&gst::Pipeline) -> Result<(), String>,
    has_worked: impl FnOnce(&gst::Pipeline) -> bool,
    nothing: &str,
) -> Result<(), String> {
    let trial = parse(text, "a trial").map_err(|error| format!("{:#}", error.root_cause()))?;
    let mut is_left = false;
    let ended = (|| {
        let bus = trial.bus().ok_or("there is no bus")?;
        prepare(&trial)?;
        // One that is refused says why on its bus.
        if let Started::LeftBehind(_) = start(&trial, patience, &AtomicBool::new(false)) {
            is_left = true;
            return Err("it does not start".to_owned());
        }
        let patience = gst::ClockTime::try_from(patience).unwrap_or(gst::ClockTime::MAX);
        let ended = bus.timed_pop_filtered(patience, &[gst::MessageType::Eos, gst::MessageType::Error]);
        match ended.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) if has_worked(&trial) => Ok(()),
            Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
            _ => Err(nothing.to_owned()),
        }
    })();
    if !is_left {
        stop(&trial, Duration::from_secs(3));
    }
    ended
}

/// How far a change of state is. Whoever comes second, the thread that changes or the one that waits, cleans up.
enum Change {
    Begun,
    Done(bool),
    GivenUp,
}

/// Whether a pipeline takes a state.
fn set_state(
    pipeline: &gst::Pipeline,
    state: gst::State,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<bool, LeftBehind> {
    let change = Arc::new(Mutex::new(Change::Begun));
    let (alive, (done, reached)) = (Arc::new(()), bounded(1));
    let left = LeftBehind(Arc::downgrade(&alive));
    let (pipeline, theirs) = (pipeline.clone(), change.clone());
    thread::spawn(move || {
        let _alive = alive;
        let is_good = pipeline.set_state(state).is_ok();
        let before = std::mem::replace(&mut *lock(&theirs), Change::Done(is_good));
        if let Change::GivenUp = before {
            // Nobody else stops it any more, and what is disposed of while it plays crashes.
            let _ = pipeline.set_state(gst::State::Null);
        }
        // Who has given up does not listen.
        let _ = done.send(());
    });
    let mut deadline = Instant::now() + patience;
    let mut is_told = false;
    while Instant::now() < deadline && reached.recv_timeout(POLL.min(patience)).is_err() {
        if stop.load(Ordering::Relaxed) && !std::mem::replace(&mut is_told, true) {
            deadline = deadline.min(Instant::now() + LAST_WAIT);
        }
    }
    match std::mem::replace(&mut *lock(&change), Change::GivenUp) {
        Change::Done(is_good) => Ok(is_good),
        Change::Begun | Change::GivenUp => {
            exit::leave_at_work();
            Err(left)
        }
    }
}

/// Quotes a value for `gst-launch-1.0` notation.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(text: &str) -> gst::Pipeline {
        gst::init().unwrap();
        parse(text, "test").unwrap()
    }

    #[test]
    fn a_pipeline_that_hangs_is_left_behind_and_stops_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // Opening a FIFO waits for its reader.
        let hangs = pipeline(&format!("fakesrc num-buffers=1 ! filesink location={}", fifo.display()));
        let stop = AtomicBool::new(false);
        let Started::LeftBehind(left) = start(&hangs, Duration::from_millis(200), &stop) else {
            panic!("it does not hang")
        };
        assert!(left.hangs());
        drop(std::fs::File::open(&fifo).unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while left.hangs() && Instant::now() < deadline {
            thread::yield_now();
        }
        assert!(!left.hangs());
        assert_eq!(hangs.current_state(), gst::State::Null);
    }

    #[test]
    fn one_that_opens_while_the_daemon_is_told_to_stop_is_not_torn_down_under_itself() {
        for _ in 0..50 {
            let plays = pipeline("videotestsrc is-live=true ! videoconvert ! fakesink");
            match start(&plays, Duration::from_secs(20), &AtomicBool::new(true)) {
                Started::Playing => stop(&plays, Duration::from_secs(20)),
                Started::Refused => panic!("it was refused"),
                Started::LeftBehind(_) => panic!("it opens at once"),
            }
            assert_eq!(plays.current_state(), gst::State::Null);
        }
    }
}

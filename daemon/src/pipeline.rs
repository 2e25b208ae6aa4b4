//! What every pipeline of GStreamer needs: it is parsed, started and stopped, and none of that may hang the daemon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gst::prelude::*;

/// Time between looks at whether to stop.
const POLL: Duration = Duration::from_millis(50);

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

/// Stops a pipeline, or leaves it behind when it does not within `patience`: an element that hangs
/// must not keep the daemon from ending.
pub fn stop(pipeline: &gst::Pipeline, patience: Duration) {
    if set_state(pipeline, gst::State::Null, patience, &AtomicBool::new(false)) != Some(true) {
        tracing::warn!("a pipeline did not stop in {patience:?}; it is left behind");
    }
}

/// Whether a pipeline takes a state; none when it hangs on the way for longer than `patience`, or the daemon is told
/// to stop.
pub fn set_state(
    pipeline: &gst::Pipeline,
    state: gst::State,
    patience: Duration,
    stop: &AtomicBool,
) -> Option<bool> {
    let (done, reached) = crossbeam_channel::bounded(1);
    let pipeline = pipeline.clone();
    std::thread::spawn(move || done.send(pipeline.set_state(state).is_ok()));
    let deadline = Instant::now() + patience;
    while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
        if let Ok(reached) = reached.recv_timeout(POLL.min(patience)) {
            return Some(reached);
        }
    }
    None
}

/// Quotes a value for `gst-launch-1.0` notation.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

//! What TensorRT says, and the gate that turns the shim's statuses into errors with those words.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{lock, owned};
use crate::engine::{LOAD, MATCH, TensorrtError};

/// Log lines kept for errors.
const LINES: usize = 100;

/// What TensorRT said last. It has one logger in the process, whichever engine and thread it speaks of.
static SAID: Mutex<Said> = Mutex::new(Said { lines: VecDeque::new(), count: 0 });

struct Said {
    /// The last ones, oldest first.
    lines: VecDeque<String>,
    /// All there ever were.
    count: usize,
}

/// A call of the shim. What is said from its begin on goes into its error; another engine's words can be among them.
pub struct Call {
    said: usize,
}

impl Call {
    pub fn begin() -> Self {
        Self { said: lock(&SAID).count }
    }

    /// The one gate: every status of the shim passes here, failures with what TensorRT said.
    pub fn check(self, status: i32) -> Result<(), TensorrtError> {
        let step = match status {
            0 => return Ok(()),
            1 => "make a builder",
            2 => "make an empty network",
            3 => "make a parser",
            4 => "parse the model",
            5 => MATCH,
            6 => "build an engine",
            7 => "make a runtime",
            8 => LOAD,
            9 => "make an execution context",
            10 => "take the addresses of input and output",
            11 => "enqueue a frame",
            _ => "go on",
        };
        let said = lock(&SAID);
        let old = said.lines.len().saturating_sub(said.count - self.said);
        Err(TensorrtError::Step { step, log: said.lines.iter().skip(old).cloned().collect() })
    }
}

/// Builds that were told to stop, and those without a GPU. The one logger cannot tell whose words it hears.
pub static STOPPING: AtomicU32 = AtomicU32::new(0);
pub static WITHOUT_GPU: AtomicU32 = AtomicU32::new(0);

/// Whether an error of TensorRT is none: what it says of a build that was told to stop, or that has no GPU to ask.
fn is_expected(text: &str) -> bool {
    STOPPING.load(Ordering::Relaxed) > 0
        || (WITHOUT_GPU.load(Ordering::Relaxed) > 0 && text.contains("Cuda Runtime"))
}

/// Counts one while it lives.
pub struct Counted(&'static AtomicU32);

impl Counted {
    pub fn new(counter: &'static AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub extern "C" fn on_log(severity: i32, text: *const c_char) {
    // Its chatter is not even copied unless somebody listens.
    if severity > 3 && !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    // SAFETY: the shim passes TensorRT's text.
    let text = unsafe { owned(text) };
    match severity {
        0..=2 if is_expected(&text) => tracing::debug!(tensorrt = %text),
        0 | 1 => tracing::error!(tensorrt = %text),
        2 => tracing::warn!(tensorrt = %text),
        3 => tracing::debug!(tensorrt = %text),
        _ => tracing::trace!(tensorrt = %text),
    }
    if severity <= 2 {
        let mut said = lock(&SAID);
        said.count += 1;
        if said.lines.len() == LINES {
            said.lines.pop_front();
        }
        said.lines.push_back(text);
    }
}

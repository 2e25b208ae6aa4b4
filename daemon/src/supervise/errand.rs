//! Work that may block, on a thread of its own.

use std::thread;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, bounded};

/// Does `work` on a thread called `name`; its result can be waited for, and need not be.
///
/// # Errors
/// When no thread can be started.
pub fn run<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<Receiver<T>> {
    let (done, result) = bounded(1);
    let run = move || {
        // At the end nobody waits for it any more.
        let _ = done.send(work());
    };
    thread::Builder::new().name(name.into()).spawn(run).context("cannot start a thread")?;
    Ok(result)
}

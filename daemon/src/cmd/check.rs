//! What `check` tries of the world outside, as `run` would: files, the port, and with `--deep` the source.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::config::{Config, Sink};
use crate::frame::Region;
use crate::sink::try_to_write;
use crate::source::gstreamer::STALL;
use crate::source::slot::Next;
use crate::supervise::{describe_frames, start_source};
use crate::web;

/// A source that may be without signal is not waited for as long as `run` would.
const SIGNAL: Duration = Duration::from_secs(10);

/// Whether files can be written and the port be taken; a name and what was found of each.
pub fn outside(config: &Config) -> Vec<(&'static str, Result<String>)> {
    let mut rows = vec![];
    for (i, sink) in config.sinks.iter().enumerate() {
        if let Sink::File { path, overwrite, .. } = sink
            && let Err(error) = try_to_write(path, *overwrite)
        {
            rows.push(("sink", Err(error.context(format!("sinks[{i}].path")))));
        }
    }
    if let Some(path) = &config.report {
        // It is renamed into its place, over what is there.
        let written = try_to_write(path, false).map(|()| path.display().to_string());
        rows.push(("report", written.context("report.path")));
    }
    if let Some(address) = config.listen {
        // Given back at once.
        rows.push(("page", web::bind(address).map(|_| format!("http://{address}"))));
    }
    rows
}

/// Opens the source, and says what its first frame is.
///
/// # Errors
/// When it does not open, gives no frame in time, or frames that the model's region does not fit into.
pub fn open_source(config: &Config) -> Result<String> {
    let source = &config.source;
    let patience = if source.may_be_silent() { SIGNAL } else { STALL };
    // The slot is dropped first: a source that waits for room in it could not be stopped.
    let Some((_capture, mut slot)) = start_source(config, &AtomicBool::new(false))? else {
        bail!("source {source}: it was not opened");
    };
    let begun = Instant::now();
    loop {
        match slot.next(Duration::from_millis(100)) {
            Next::Frame(frame) => {
                let (width, height) = (frame.info.width() as usize, frame.info.height() as usize);
                Region::place(config.x, config.y, width, height)?;
                return Ok(describe_frames(&frame.info));
            }
            Next::Idle if begun.elapsed() > patience => {
                bail!(
                    "source {source}: it opens, and sends no frame within {patience:?}. Check what feeds it"
                )
            }
            Next::Idle => {}
            Next::End(Ok(())) => {
                bail!("source {source}: it ended without a single frame. Check that it holds video")
            }
            Next::End(Err(error)) => return Err(error.into()),
        }
    }
}

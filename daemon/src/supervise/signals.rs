//! Signals that end a run in order: SIGTERM, Ctrl-C, and SIGHUP when a terminal closes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Signals so near to the first belong to the same stop: `timeout` signals its child, then the child's whole group.
const SAME: Duration = Duration::from_secs(2);

/// A flag that the first signal sets. One that comes clearly later ends the process at once.
///
/// # Errors
/// When signals cannot be listened to.
pub fn listen() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let wanted = [SIGINT, SIGTERM].into_iter().chain((!is_hang_up_ignored()).then_some(SIGHUP));
    let mut signals = Signals::new(wanted).context("signals cannot be listened to")?;
    let run = move || {
        let mut first: Option<Instant> = None;
        for _ in signals.forever() {
            match first {
                Some(at) if at.elapsed() > SAME => low_level::exit(1),
                Some(_) => {}
                None => {
                    first = Some(Instant::now());
                    asked.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(run).context("signals cannot be listened to")?;
    Ok(stop)
}

/// Whether whoever started the process had SIGHUP ignored, as `nohup` does.
fn is_hang_up_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

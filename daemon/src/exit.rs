//! The end of the process when something was left at work: the destructors of the libraries that it is in must not run
//! then.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a thread was left at work.
static LEFT_AT_WORK: AtomicBool = AtomicBool::new(false);

/// A thread inside of a library was left at work.
pub fn leave_at_work() {
    LEFT_AT_WORK.store(true, Ordering::Relaxed);
}

/// Ends the process at once if a thread was left at work.
pub fn if_left_at_work(code: u8) {
    if LEFT_AT_WORK.load(Ordering::Relaxed) {
        at_once(code);
    }
}

/// Ends the process without any library's destructors.
pub fn at_once(code: u8) -> ! {
    signal_hook::low_level::exit(code.into())
}

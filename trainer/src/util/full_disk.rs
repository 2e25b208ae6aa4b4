//! A full disk for tests.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What `work` comes to while the kernel lets no file grow beyond `room` bytes. This holds for the whole process;
/// nextest gives each test one of its own.
pub fn on_full_disk<T>(room: u64, work: impl FnOnce() -> T) -> T {
    // Whoever does not handle this signal is killed by it.
    signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false))).unwrap();
    let Rlimit { current, maximum } = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(room), maximum }).unwrap();
    let result = work();
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    result
}

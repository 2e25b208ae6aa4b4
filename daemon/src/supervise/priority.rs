//! The frame thread's priority.

/// Gives the calling thread real-time priority where the system allows it (the service does): when cores are short, the
/// frame that is due goes before decoders, encoders and the engine. Threads that it starts do not inherit it.
pub fn put_video_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `priority` is a valid sched_param that lives through the call, and 0 names the calling thread.
    #[allow(unsafe_code)]
    let refused = unsafe { libc::sched_setscheduler(0, policy, &raw const priority) } != 0;
    if refused {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "the video keeps the ordinary priority");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// Policy of a thread: field 41 of its `stat` (proc(5)), 2 for SCHED_RR.
    fn policy() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1.to_owned();
        after_name.split_whitespace().nth(38).unwrap().into()
    }

    #[test]
    fn threads_started_later_do_not_inherit_real_time() {
        let run = || {
            super::put_video_first();
            (policy(), std::thread::spawn(policy).join().unwrap())
        };
        let (own, child) = std::thread::spawn(run).join().unwrap();
        assert_eq!(child, "0");
        if own != "2" {
            println!("this machine allows no real-time priority: only half of it was seen");
        }
    }
}

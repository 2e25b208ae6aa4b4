//! A lock that is taken whatever became of who held it: what a thread that panicked left is used as it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for `mutex`.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

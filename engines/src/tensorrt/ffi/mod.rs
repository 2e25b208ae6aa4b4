//! TensorRT's libraries and the C ABI of `shim.cpp`: the only place that calls either.
//!
//! [`abi`] is what the shim looks like from here, [`log`] the one gate that every status passes, [`hooks`] what the shim
//! calls back; [`Libraries`] builds plans, an [`Engine`] runs one.
#![allow(unsafe_code)]

mod abi;
mod engine;
mod hooks;
mod libraries;
mod log;

use std::ffi::{CStr, c_char};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use engine::Engine;
pub use libraries::{Libraries, Options};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's word.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

//! What the shim calls back during a build.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Mutex;

use super::abi::NlHooks;
use super::log::{Counted, STOPPING};
use super::{lock, owned};
use crate::engine::BuildMonitor;

/// What a build hands over, and where it shows how far it is.
pub struct Hooks<'a> {
    pub plan: Mutex<Vec<u8>>,
    pub timing: Mutex<Vec<u8>>,
    monitor: &'a BuildMonitor,
    stopping: Mutex<Option<Counted>>,
}

impl<'a> Hooks<'a> {
    pub fn new(monitor: &'a BuildMonitor) -> Self {
        Self { plan: Mutex::default(), timing: Mutex::default(), monitor, stopping: Mutex::default() }
    }

    pub fn raw(&self) -> NlHooks {
        NlHooks { user: ptr::from_ref(self).cast_mut().cast(), progress: on_progress, bytes: on_bytes }
    }
}

extern "C" fn on_progress(
    user: *mut c_void,
    event: i32,
    phase: *const c_char,
    parent: *const c_char,
    value: i32,
) -> i32 {
    // SAFETY: the shim passes `Hooks::raw`'s address, and TensorRT's names.
    let (hooks, phase) = unsafe { (&*user.cast::<Hooks<'_>>(), owned(phase)) };
    match event {
        0 => hooks.monitor.begin(phase, value, !parent.is_null()),
        1 => hooks.monitor.step(&phase, value),
        _ => hooks.monitor.end(&phase),
    }
    let stops = hooks.monitor.is_cancelled();
    if stops {
        // Before TensorRT hears of it, and until the build has ended.
        lock(&hooks.stopping).get_or_insert_with(|| Counted::new(&STOPPING));
    }
    i32::from(!stops)
}

extern "C" fn on_bytes(user: *mut c_void, kind: i32, data: *const c_void, size: usize) {
    // SAFETY: the shim passes `Hooks::raw`'s address, and `size` readable bytes.
    let (hooks, bytes) =
        unsafe { (&*user.cast::<Hooks<'_>>(), std::slice::from_raw_parts(data.cast::<u8>(), size)) };
    let kept = if kind == 0 { &hooks.plan } else { &hooks.timing };
    *lock(kept) = bytes.to_vec();
}

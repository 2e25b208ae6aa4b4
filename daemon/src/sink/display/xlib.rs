//! Xlib ends the whole process when a display's server goes. This keeps it from that; the only file that calls Xlib.

use std::ffi::{c_int, c_void};
use std::sync::Once;
use std::thread;

type Handler = extern "C" fn(*mut c_void) -> c_int;
type SetHandler = unsafe extern "C" fn(Handler) -> *mut c_void;

static INSTALL: Once = Once::new();

/// Xlib calls `exit` once this returns, so it does not: the thread that asked the server for something stays here, and its
/// pipeline is left behind. Whoever watches the window's own connection finds out, too, and fails the sink.
extern "C" fn stay(_: *mut c_void) -> c_int {
    tracing::warn!("the X server is gone; what was being drawn is left behind");
    loop {
        thread::park();
    }
}

/// From now on the process outlives X servers. Where there is no Xlib nothing is done.
pub fn outlive_servers() {
    INSTALL.call_once(|| {
        // SAFETY: both names end with a zero; Xlib, which GStreamer's sinks use too, is never closed, and its
        // XSetIOErrorHandler (XSetErrorHandler(3)) takes a function of this type and returns the one before.
        #[allow(unsafe_code)]
        unsafe {
            let library = libc::dlopen(c"libX11.so.6".as_ptr(), libc::RTLD_NOW);
            if library.is_null() {
                return;
            }
            let set = libc::dlsym(library, c"XSetIOErrorHandler".as_ptr());
            if !set.is_null() {
                std::mem::transmute::<*mut c_void, SetHandler>(set)(stay);
            }
        }
    });
}

//! ONNX Runtime's own telemetry, which a program that handles patients' pictures must not have.

/// What ONNX Runtime reads when it is loaded. Since 1.32 its Linux build too keeps an identity of the machine and a queue
/// of events in the user's cache, and sends them; `with_telemetry(false)` comes too late for the files.
const SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// Switches the telemetry off for the life of the process.
///
/// # Safety
/// No other thread runs yet: this changes the environment, which others may be reading.
#[allow(unsafe_code)]
pub unsafe fn forbid() {
    // SAFETY: the caller promises that there is no other thread.
    unsafe { std::env::set_var(SWITCH, "1") };
}

//! What the supervisor says in the log, in words for people.

use crate::frame::SignalState;
use crate::status::Snapshot;

/// What a new state of the signal means, once.
pub fn say(before: SignalState, state: SignalState) {
    match state {
        SignalState::NoSignal => {
            tracing::error!("no signal: the source sends no frames. Check its cable and power");
        }
        SignalState::NoInput => tracing::error!(
            "no input: the capture card shows its own picture. Check the cable to the ultrasound machine, and its \
             power"
        ),
        SignalState::Black => {
            tracing::warn!("the picture is black. Check that the ultrasound machine shows one")
        }
        _ if before == SignalState::NoSignal => tracing::info!("the source's frames are back"),
        _ if matches!(before, SignalState::Black | SignalState::NoInput) => {
            tracing::info!("there is a picture again");
        }
        // Calm: a clinician freezes a picture many times in an hour.
        SignalState::Waiting | SignalState::Ok | SignalState::Frozen | SignalState::GeometryChanged => {}
    }
}

/// The figures, now and then.
pub fn log(s: &Snapshot) {
    tracing::info!(
        ai = ?s.ai, frames_in = s.frames_in, frames_out = s.frames_out, dropped = s.dropped, fps = s.fps,
        engine_p50_ms = s.engine_ms.p50, engine_p99_ms = s.engine_ms.p99,
        latency_p50_ms = s.latency_ms.p50, latency_p99_ms = s.latency_ms.p99, latency_max_ms = s.latency_ms.max,
        mask_age_p99_ms = s.mask_age_ms.p99, "figures"
    );
    if let Some(build) = &s.engine_build {
        tracing::info!(engine = %build.what, phase = %build.phase, done = build.done, seconds = build.seconds, "building");
    }
}

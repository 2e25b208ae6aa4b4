//! A key at the cart that flags the moment: a foot switch, or a key of a keyboard.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use evdev::{Device, EventSummary, InputEvent};

use crate::config::FlagKey;
use crate::control::Reason;
use crate::harvest::Flagger;

/// Time between tries to open the device.
const RETRY: Duration = Duration::from_secs(2);
/// A foot that shakes presses once.
const AGAIN: Duration = Duration::from_millis(500);

/// Listens to the key on a thread of its own, until the process ends. The device may come and go.
///
/// # Errors
/// When no thread can be started.
pub fn listen(key: FlagKey, flagger: Flagger) -> Result<()> {
    let run = move || {
        let mut is_said = false;
        loop {
            match hear(&key, &flagger, &mut is_said) {
                Ok(never) => match never {},
                Err(error) if !std::mem::replace(&mut is_said, true) => tracing::warn!(
                    device = %key.device.display(), %error,
                    "harvest.key_device cannot be used; it is tried again. Plug it in, and see that the service's user is \
                     in the group `input`"
                ),
                Err(_) => {}
            }
            thread::sleep(RETRY);
        }
    };
    thread::Builder::new().name("harvest-key".into()).spawn(run).map(drop).context("cannot start a thread")
}

/// Flags a moment at each press, until the device fails.
fn hear(key: &FlagKey, flagger: &Flagger, is_said: &mut bool) -> std::io::Result<std::convert::Infallible> {
    let mut device = Device::open(&key.device)?;
    *is_said = false;
    tracing::info!(device = %key.device.display(), "a key flags moments for retraining");
    let mut last: Option<Instant> = None;
    loop {
        for event in device.fetch_events()? {
            let now = Instant::now();
            if is_press(event, key) && last.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN) {
                last = Some(now);
                if let Err(error) = flagger.flag(Reason::Unspecified) {
                    tracing::warn!(%error, "the key was pressed, and nothing was flagged");
                }
            }
        }
    }
}

/// Whether the key goes down. A key that is held repeats itself.
fn is_press(event: InputEvent, key: &FlagKey) -> bool {
    match event.destructure() {
        EventSummary::Key(_, code, 1) => key.key.is_none_or(|key| key == code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use evdev::{EventType, KeyCode};

    use super::*;

    #[test]
    fn a_press_is_the_key_that_goes_down() {
        let event = |code: KeyCode, value| InputEvent::new(EventType::KEY.0, code.0, value);
        let of = |key| FlagKey { device: "/dev/input/event0".into(), key };
        let b = of(Some(KeyCode::KEY_B));
        assert!(is_press(event(KeyCode::KEY_B, 1), &b));
        assert!(!is_press(event(KeyCode::KEY_B, 0), &b), "it goes up");
        assert!(!is_press(event(KeyCode::KEY_B, 2), &b), "it repeats");
        assert!(!is_press(event(KeyCode::KEY_A, 1), &b), "another key");
        assert!(is_press(event(KeyCode::BTN_LEFT, 1), &of(None)), "any key");
        assert!(!is_press(InputEvent::new(EventType::RELATIVE.0, 0, 1), &of(None)), "a mouse that moves");
    }
}

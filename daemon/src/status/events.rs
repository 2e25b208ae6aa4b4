//! What happens, for those who listen. Nobody who tells waits for anybody who listens: one who falls behind misses the rest.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::redact::redact;

/// Events that may wait for a listener.
const WAITING: usize = 256;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its kind: `deployment`, `shadow`, `signal` or `engine`.
    pub kind: &'static str,
    /// What, in JSON, without credentials.
    pub data: Arc<str>,
}

/// Where events go.
#[derive(Clone)]
pub struct Events(Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(WAITING).0)
    }
}

impl Events {
    /// Says that something happened.
    pub fn send(&self, kind: &'static str, what: &impl Serialize) {
        let Ok(json) = serde_json::to_string(what) else { return };
        let data = Arc::from(redact(&json).as_ref());
        // Often nobody listens.
        let _ = self.0.send(Event { kind, data });
    }

    /// Listens from now on.
    pub fn listen(&self) -> Receiver<Event> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    #[test]
    fn who_falls_behind_misses_some_and_holds_nobody_up() {
        let events = Events::default();
        events.send("signal", &"nobody listens");
        let mut listener = events.listen();
        for n in 0..WAITING + 10 {
            events.send("engine", &n);
        }
        assert!(matches!(listener.try_recv(), Err(TryRecvError::Lagged(10))));
        assert_eq!(listener.try_recv().map(|event| event.data.to_string()), Ok("10".into()));
    }
}

//! Persons who logged in on the page. Nothing of it is on disk: a restart ends every session.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::watch;

use super::keyed::Key;
use crate::lock::lock;

/// A session ends after a shift.
pub const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Of more, the oldest ends.
const MOST: usize = 200;

/// Every session.
pub struct Sessions {
    key: Key,
    open: Mutex<HashMap<String, Session>>,
}

struct Session {
    /// Whose token began it.
    token: String,
    begun: Instant,
    /// Gone with the session.
    lease: watch::Sender<()>,
}

impl Sessions {
    /// None yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self> {
        Ok(Self { key: Key::new()?, open: Mutex::default() })
    }

    /// Begins a session for who has the token with this id; returns its secret.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn begin(&self, token: &str) -> Result<String> {
        let mut bytes = [0; 32];
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let secret = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut open = lock(&self.open);
        if open.len() >= MOST
            && let Some(oldest) =
                open.iter().min_by_key(|(_, session)| session.begun).map(|(at, _)| at.clone())
        {
            open.remove(&oldest);
        }
        let session = Session { token: token.into(), begun: Instant::now(), lease: watch::channel(()).0 };
        open.insert(self.key.digest(&secret), session);
        Ok(secret)
    }

    /// The token's id and the lease of the session with this secret.
    pub fn find(&self, secret: &str) -> Option<(String, watch::Receiver<()>)> {
        let open = lock(&self.open);
        let session =
            open.get(&self.key.digest(secret)).filter(|session| session.begun.elapsed() < LONGEST)?;
        Some((session.token.clone(), session.lease.subscribe()))
    }

    /// Ends the session with this secret; false if there is none.
    pub fn end(&self, secret: &str) -> bool {
        lock(&self.open).remove(&self.key.digest(secret)).is_some()
    }

    /// Ends those that are too old, and those whose token is not good any more.
    pub fn look(&self, is_good: impl Fn(&str) -> bool) {
        lock(&self.open).retain(|_, session| session.begun.elapsed() < LONGEST && is_good(&session.token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_its_token_and_by_log_out() {
        let sessions = Sessions::new().unwrap();
        let (one, two) = (sessions.begin("a").unwrap(), sessions.begin("b").unwrap());
        assert_ne!(one, two);
        let (token, lease) = sessions.find(&one).unwrap();
        assert_eq!(token, "a");
        assert!(sessions.find("").is_none() && sessions.find(&one[1..]).is_none());
        sessions.look(|token| token != "a");
        assert!(
            sessions.find(&one).is_none() && lease.has_changed().is_err() && sessions.find(&two).is_some()
        );
        assert!(sessions.end(&two) && !sessions.end(&two) && sessions.find(&two).is_none());
    }

    #[test]
    fn the_oldest_makes_room() {
        let sessions = Sessions::new().unwrap();
        let all: Vec<_> = (0..=MOST).map(|_| sessions.begin("a").unwrap()).collect();
        assert!(sessions.find(&all[0]).is_none() && sessions.find(&all[1]).is_some());
    }
}

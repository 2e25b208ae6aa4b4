//! The tokens of a running daemon: read anew when their file changes, and proven once. Argon2 is slow by design, so that
//! who has proven a token is known afterwards by a keyed digest of it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::Result;
use axum::http::StatusCode;
use nervelight_web::Problem;
use rustix::process::setpriority_process;
use tokio::sync::{Semaphore, oneshot, watch};

use super::caller::Role;
use super::keyed::Key;
use super::token_file::{self, Token, parts};
use crate::lock::lock;

/// One is proven at a time, at the lowest priority; so many others may wait.
const WAITING: usize = 8;
const LOWEST_PRIORITY: i32 = 19;

/// Every token that is good now.
pub struct Tokens {
    path: PathBuf,
    key: Key,
    state: Mutex<State>,
    /// One proof at a time: each takes 19 MiB and some ten milliseconds of a core.
    turn: Semaphore,
    places: Semaphore,
}

#[derive(Default)]
struct State {
    stamp: Option<Stamp>,
    known: HashMap<String, Known>,
    /// Ids of tokens that were proven, by the keyed digest of the whole token.
    proven: HashMap<String, String>,
}

/// Tells one state of the file from another.
type Stamp = (u64, i64, i64, u64);

struct Known {
    token: Token,
    /// Gone with the token.
    lease: watch::Sender<()>,
}

/// A token that is good.
#[derive(Debug, Clone)]
pub struct Good {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// Closed when it is revoked.
    pub lease: watch::Receiver<()>,
}

impl Tokens {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        let state = State {
            stamp: stamp(path),
            known: known(token_file::read(path)?, HashMap::new()),
            ..State::default()
        };
        Ok(Self {
            path: path.into(),
            key: Key::new()?,
            state: Mutex::new(state),
            turn: Semaphore::new(1),
            places: Semaphore::new(1 + WAITING),
        })
    }

    /// Reads the file anew if it has changed. One that cannot be read lets nobody in.
    pub fn look(&self) {
        let stamp = stamp(&self.path);
        let mut state = lock(&self.state);
        if stamp == state.stamp {
            return;
        }
        let tokens = token_file::read(&self.path).unwrap_or_else(|error| {
            tracing::error!(error = %format!("{error:#}"), "no token is good any more");
            vec![]
        });
        let known = known(tokens, std::mem::take(&mut state.known));
        state.proven.retain(|_, id| known.contains_key(id));
        tracing::info!(tokens = known.len(), "the tokens were read anew");
        (state.stamp, state.known) = (stamp, known);
    }

    /// The token with this id, while it is good.
    pub fn good(&self, id: &str) -> Option<Good> {
        lock(&self.state).known.get(id).map(Known::good)
    }

    /// The same as [`Self::prove`] where it was proven before: at once.
    pub fn proven(&self, token: &str) -> Option<Good> {
        let digest = self.key.digest(token);
        let state = lock(&self.state);
        state.known.get(state.proven.get(&digest)?).map(Known::good)
    }

    /// Whose `token` is; none where it is nobody's.
    ///
    /// # Errors
    /// When too many ask at once.
    pub async fn prove(&self, token: &str) -> Result<Option<Good>, Problem> {
        let Some((id, secret)) = parts(token) else { return Ok(None) };
        // Ids are no secret, and who knows none costs nothing.
        let Some(kept) = lock(&self.state).known.get(id).map(|known| known.token.clone()) else {
            return Ok(None);
        };
        let busy = || {
            let detail = "too many tokens are being looked at. Try again in a second";
            Problem::of(StatusCode::TOO_MANY_REQUESTS, detail).after(1)
        };
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let _turn = self.turn.acquire().await.map_err(|_| busy())?;
        let (hash, secret) = (kept.hash.clone(), secret.to_owned());
        let (say, said) = oneshot::channel();
        let proof = move || {
            // The video goes first.
            let _ = setpriority_process(None, LOWEST_PRIORITY);
            let _ = say.send(kept.is_proven_by(&secret));
        };
        // A thread of its own: its priority is not another task's afterwards.
        thread::Builder::new().name("token".into()).spawn(proof).map_err(|_| busy())?;
        if !said.await.unwrap_or(false) {
            return Ok(None);
        }
        let digest = self.key.digest(token);
        let mut state = lock(&self.state);
        // It may have been revoked meanwhile.
        let good = state.known.get(id).filter(|known| known.token.hash == hash).map(Known::good);
        if good.is_some() {
            state.proven.insert(digest, id.to_owned());
        }
        Ok(good)
    }
}

impl Known {
    fn good(&self) -> Good {
        let Token { id, name, role, .. } = self.token.clone();
        Good { id, name, role, lease: self.lease.subscribe() }
    }
}

/// The tokens as known; those that are as before keep their leases.
fn known(tokens: Vec<Token>, mut before: HashMap<String, Known>) -> HashMap<String, Known> {
    let keep = |token: Token| {
        let same = before.remove(&token.id).filter(|known| known.token == token);
        let lease = same.map_or_else(|| watch::channel(()).0, |known| known.lease);
        (token.id.clone(), Known { token, lease })
    };
    tokens.into_iter().map(keep).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = path.metadata().ok()?;
    Some((about.ino(), about.mtime(), about.mtime_nsec(), about.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_revoked_token_ends_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let (alice, bob) = (
            token_file::add(&path, "alice", Role::Deploy).unwrap(),
            token_file::add(&path, "bob", Role::View).unwrap(),
        );
        let tokens = Tokens::open(&path).unwrap();
        assert!(tokens.proven(&alice).is_none(), "not before it was proven");
        let mut good = tokens.prove(&alice).await.unwrap().unwrap();
        assert_eq!((good.name.as_str(), good.role), ("alice", Role::Deploy));
        assert_eq!(tokens.proven(&alice).unwrap().name, "alice");
        let wrong = format!("{}x", &alice[..alice.len() - 1]);
        for wrong in [wrong.as_str(), "", "nvl_", "nvl_x_y", &alice[..13], &format!("{alice}x")] {
            assert!(
                tokens.prove(wrong).await.unwrap().is_none() && tokens.proven(wrong).is_none(),
                "{wrong}"
            );
        }
        let mut other = tokens.prove(&bob).await.unwrap().unwrap();
        token_file::revoke(&path, "alice").unwrap();
        tokens.look();
        assert!(tokens.proven(&alice).is_none() && tokens.good(&good.id).is_none());
        assert!(good.lease.changed().await.is_err(), "whoever watches with it is told");
        assert!(other.lease.has_changed().is_ok() && tokens.proven(&bob).is_some(), "the other stays");
        std::fs::write(&path, "{").unwrap();
        tokens.look();
        assert!(tokens.proven(&bob).is_none() && other.lease.changed().await.is_err());
    }
}

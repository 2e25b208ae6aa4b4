//! Finds out who asks: by a token, by a session that a token began, or by where the request comes from.

use std::net::IpAddr;

use anyhow::Result;
use axum::http::{HeaderMap, StatusCode, header};
use nervelight_web::{Door, Problem};

use super::attempts::Attempts;
use super::caller::{Caller, Role};
use super::sessions::{LONGEST, Sessions};
use super::tokens::{Good, Tokens};
use crate::config::Http;

/// The cookie of a person who logged in on the page.
pub const COOKIE: &str = "nervelight_session";

/// What is known of those who may ask.
pub struct Gate {
    /// Whether the page listens on loopback only: whoever reaches it is on this machine, or comes by its proxy.
    is_local: bool,
    tokens: Option<Tokens>,
    sessions: Sessions,
    attempts: Attempts,
}

impl Gate {
    /// Knows those who may use the page that `http` describes.
    ///
    /// # Errors
    /// When the file of tokens cannot be used.
    pub fn open(http: &Http) -> Result<Self> {
        Ok(Self {
            is_local: http.listen.ip().is_loopback(),
            tokens: http.tokens.as_deref().map(Tokens::open).transpose()?,
            sessions: Sessions::new()?,
            attempts: Attempts::new(),
        })
    }

    /// Takes notice of tokens that were added or revoked, and of time. Called twice a second.
    pub fn look(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.look();
            self.sessions.look(|id| tokens.good(id).is_some());
        }
        self.attempts.look();
    }

    /// Who sends a request with these headers; none for a stranger.
    ///
    /// # Errors
    /// When the token is nobody's, or too many were tried.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        door: Door,
    ) -> Result<Option<Caller>, Problem> {
        if let Some(token) = bearer(headers) {
            let Good { name, role, lease, .. } = self.owner(token, address).await?;
            return Ok(Some(Caller { name, role, address, lease: Some(lease) }));
        }
        if let Some(caller) = self.in_session(headers, address) {
            return Ok(Some(caller));
        }
        let here = |name, role| Some(Caller::new(name, role, address));
        Ok(match door {
            Door::Local if self.is_local => here("this machine", Role::Deploy),
            // Who it is, the proxy knows.
            Door::Proxied if self.is_local => here("proxy", Role::Operate),
            _ => None,
        })
    }

    /// Begins a session for who has `token`; returns who that is, and the cookie's value.
    ///
    /// # Errors
    /// When the token is nobody's, or too many were tried.
    pub async fn log_in(&self, token: &str, address: IpAddr) -> Result<(Caller, String), Problem> {
        let Good { id, name, role, lease } = self.owner(token, address).await?;
        let secret = self.sessions.begin(&id).map_err(|error| {
            Problem::of(StatusCode::SERVICE_UNAVAILABLE, format!("no session can begin: {error}"))
        })?;
        Ok((Caller { name, role, address, lease: Some(lease) }, secret))
    }

    /// Ends the session that the headers name; false if there is none.
    pub fn log_out(&self, headers: &HeaderMap) -> bool {
        cookie(headers).is_some_and(|secret| self.sessions.end(secret))
    }

    /// Whether the headers name a session, and no token that goes before it.
    pub fn is_in_session(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_none()
            && cookie(headers).is_some_and(|secret| self.sessions.find(secret).is_some())
    }

    /// Whose token this is. One that was proven before counts as no attempt.
    async fn owner(&self, token: &str, address: IpAddr) -> Result<Good, Problem> {
        if let Some(good) = self.tokens.as_ref().and_then(|tokens| tokens.proven(token)) {
            return Ok(good);
        }
        self.attempts.count(address).map_err(|seconds| {
            let detail = format!("too many tokens were tried from this address. Try again in {seconds} s");
            Problem::of(StatusCode::TOO_MANY_REQUESTS, detail).after(seconds)
        })?;
        let invalid = |detail| Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", detail);
        let Some(tokens) = &self.tokens else {
            return Err(invalid("this daemon has no tokens: set http.tokens in its configuration"));
        };
        let good = tokens.prove(token).await?;
        good.ok_or_else(|| {
            invalid("the token is nobody's, or was revoked. Ask for one who looks after this cart")
        })
    }

    fn in_session(&self, headers: &HeaderMap, address: IpAddr) -> Option<Caller> {
        let (id, lease) = self.sessions.find(cookie(headers)?)?;
        // Its owner may have been given another role, or be gone.
        let Good { name, role, .. } = self.tokens.as_ref()?.good(&id)?;
        Some(Caller { name, role, address, lease: Some(lease) })
    }
}

/// What a browser is told to send back: to this page only, unseen by scripts, and over TLS only if it `is_encrypted`. An
/// empty secret ends it.
pub fn set_cookie(secret: &str, is_encrypted: bool) -> String {
    let seconds = if secret.is_empty() { 0 } else { LONGEST.as_secs() };
    let secure = if is_encrypted { "; Secure" } else { "" };
    format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// The token in `Authorization`. Other schemes are a proxy's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The secret of the session in `Cookie`.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|sent| sent.to_str().ok());
    let mut pairs = sent.flat_map(|sent| sent.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, secret)| (name == COOKIE).then_some(secret))
}

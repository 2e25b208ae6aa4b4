//! Secrets by which something is looked up: a table has their keyed digests, so that how long a look takes says nothing
//! of the secrets, and they are not kept.

use anyhow::Result;
use nervelight_engines::digest::sha256;
use rustix::rand::{GetRandomFlags, getrandom};

/// A key of this process.
pub struct Key([u8; 32]);

impl Key {
    /// A random one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self> {
        let mut key = [0; 32];
        getrandom(&mut key, GetRandomFlags::empty())?;
        Ok(Self(key))
    }

    /// The digest of `secret`, which nobody can compute without the key.
    pub fn digest(&self, secret: &str) -> String {
        sha256(&[&self.0, secret.as_bytes()].concat())
    }
}

//! Who asks for a stream. What is said of it never holds the password.

use anyhow::{Context, Result};

use crate::config::Rtsp;
use crate::secret;

/// A user and a password.
pub struct Login {
    /// As configured.
    pub user: String,
    /// Empty where no file holds one.
    pub password: String,
}

impl Login {
    /// Reads the password as it is now, so that it can be changed while the daemon runs. None without a user.
    ///
    /// # Errors
    /// When its file cannot be read, everybody can read it, or it holds no password.
    pub fn read(rtsp: &Rtsp) -> Result<Option<Self>> {
        let Some(user) = rtsp.user.clone() else { return Ok(None) };
        let password = match &rtsp.password_file {
            Some(path) => {
                let what = || format!("source.password_file {}", path.display());
                secret::read(path, "password").with_context(what)?
            }
            None => String::new(),
        };
        Ok(Some(Self { user, password }))
    }
}

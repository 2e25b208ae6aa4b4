//! Who may watch: what the files say that the configuration names.

use std::path::Path;

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::config::Access;
use crate::secret;

/// What a viewer has to know.
pub enum Secret {
    /// Nothing.
    None,
    /// A user's password.
    Password(String, String),
    /// A token, whatever the user is called.
    Token(String),
}

impl Secret {
    /// Reads the files that `access` names.
    ///
    /// # Errors
    /// When one cannot be read, or holds no secret.
    pub fn read(access: &Access) -> Result<Self> {
        Ok(match access {
            Access::Anybody => Self::None,
            Access::Password { user, file } => {
                Self::Password(user.clone(), secret_in(file, "password_file")?)
            }
            Access::Token(file) => Self::Token(secret_in(file, "token_file")?),
        })
    }

    /// Whether somebody may watch who sends this `Authorization` (RFC 7617, RFC 6750).
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        if matches!(self, Self::None) {
            return true;
        }
        let Some((scheme, sent)) = authorization.and_then(|sent| sent.trim().split_once(' ')) else {
            return false;
        };
        let sent = sent.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return matches!(self, Self::Token(token) if is_same(token, sent));
        }
        let decoded = BASE64_STANDARD.decode(sent).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(decoded) = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic")) else { return false };
        let Some((user, password)) = decoded.split_once(':') else { return false };
        match self {
            Self::None => true,
            Self::Password(known, secret) => is_same(known, user) & is_same(secret, password),
            Self::Token(token) => is_same(token, password),
        }
    }
}

/// Takes the same time wherever they differ.
fn is_same(a: &str, b: &str) -> bool {
    let differ = a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b));
    std::hint::black_box(differ) == 0 && a.len() == b.len()
}

/// The secret in the file that `key` names.
fn secret_in(path: &Path, key: &str) -> Result<String> {
    let what = key.trim_end_matches("_file");
    secret::read(path, what).map_err(|why| anyhow!("{key} = \"{}\" {why:#}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_who_knows_the_secret_is_admitted() {
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let password = Secret::Password("ward".into(), "a:b c".into());
        assert!(password.admits(Some(&basic("ward:a:b c"))));
        for wrong in
            [basic("ward:a:b"), basic("ward:a:b c "), basic("Ward:a:b c"), basic("ward"), "Basic !".into()]
        {
            assert!(!password.admits(Some(&wrong)), "{wrong}");
        }
        let token = Secret::Token("t0ken".into());
        assert!(token.admits(Some(&basic("anybody:t0ken"))) && token.admits(Some("bearer t0ken")));
        for wrong in [None, Some("Bearer t0ke"), Some("Bearer"), Some("Digest t0ken")] {
            assert!(!token.admits(wrong) && !password.admits(wrong), "{wrong:?}");
        }
        assert!(Secret::None.admits(None) && Secret::None.admits(Some("x")));
    }

    #[test]
    fn files_that_hold_no_secret_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = || Secret::read(&Access::Token(path.clone()));
        assert!(read().is_err_and(|why| why.to_string().contains("token_file = ")));
        for (text, is_good) in [("", false), ("\n", false), ("a\nb\n", false), ("a b\n", true), ("a", true)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read().is_ok(), is_good, "{text:?}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read().is_err_and(|why| why.to_string().contains("chmod o=")), "everybody may read it");
    }
}

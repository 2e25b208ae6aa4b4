//! Who asks for a stream. What is said of it never holds the password.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::config::Rtsp;
use crate::redact::learn_secret;

/// No password is longer.
const LONGEST: u64 = 4096;

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
                password(path).with_context(|| format!("source.password_file {}", path.display()))?
            }
            None => String::new(),
        };
        learn_secret(&password);
        Ok(Some(Self { user, password }))
    }
}

fn password(path: &Path) -> Result<String> {
    let file =
        File::open(path).context("cannot be opened. Check the path, and that this user may read it")?;
    let about = file.metadata()?;
    ensure!(about.is_file(), "is no file. Set it to a file that holds the password");
    let everybody = about.permissions().mode() & 0o007;
    ensure!(
        everybody == 0,
        "may be read by everybody on this machine. Take that from them: chmod o= {}",
        path.display()
    );
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).context("cannot be read. Is it text?")?;
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(password), None) if !password.is_empty() => Ok(password.to_owned()),
        (Some(_), Some(_)) => bail!("holds more than one line. Write the password into it, and nothing else"),
        _ => bail!("holds no password. Write it into the file, as its only line"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_password_is_one_line_that_not_everybody_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            password(&path).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(read("two words\n", 0o600).unwrap(), "two words");
        assert_eq!(read("two words", 0o440).unwrap(), "two words");
        assert!(read("x\n", 0o644).unwrap_err().contains("chmod o="));
        assert!(read("", 0o600).unwrap_err().contains("no password"));
        assert!(read("\n", 0o600).unwrap_err().contains("no password"));
        assert!(read("a\nb\n", 0o600).unwrap_err().contains("one line"));
        assert!(format!("{:#}", password(folder.path()).unwrap_err()).contains("no file"));
        assert!(format!("{:#}", password(Path::new("/nowhere")).unwrap_err()).contains("Check the path"));
    }
}

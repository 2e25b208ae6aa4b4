//! Secrets that files hold, which not everybody on this machine may read.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nervelight_engines::store::atomic::{self, Access};

use crate::redact::learn_secret;

/// No secret is longer.
const LONGEST: u64 = 4096;

/// The only line of the file at `path`, which holds a `what`. It is hidden from now on wherever it turns up.
///
/// # Errors
/// When the file cannot be read, everybody can read it, or it holds no secret.
pub fn read(path: &Path, what: &str) -> Result<String> {
    let file =
        File::open(path).context("cannot be opened. Check the path, and that this user may read it")?;
    let about = file.metadata()?;
    ensure!(about.is_file(), "is no file. Set it to a file that holds the {what}");
    not_for_everybody(&about, path)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).context("cannot be read. Is it text?")?;
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(secret), None) if !secret.is_empty() => {
            learn_secret(secret);
            Ok(secret.to_owned())
        }
        (Some(_), Some(_)) => bail!("holds more than one line. Write the {what} into it, and nothing else"),
        _ => bail!("holds no {what}. Write it into the file, as its only line"),
    }
}

/// Replaces the file at `path` by `bytes`, which nobody but its owner may read. That is the old file's owner, or else its
/// folder's: root makes secrets for the daemon's user.
///
/// # Errors
/// When the directory or the disk refuses; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let owner = fs::metadata(path).or_else(|_| fs::metadata(atomic::directory(path)))?;
    atomic::write_with(path, Access::Umask, |file| {
        // Others than root cannot give a file away, and need not.
        let _ = fchown(&*file, Some(owner.uid()), Some(owner.gid()));
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)
    })
}

/// Finds a file that everybody on this machine may read.
///
/// # Errors
/// When it is one.
pub fn not_for_everybody(about: &Metadata, path: &Path) -> Result<()> {
    let everybody = about.permissions().mode() & 0o007;
    ensure!(
        everybody == 0,
        "may be read by everybody on this machine. Take that from them: chmod o= {}",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_that_not_everybody_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let password = |path: &Path| super::read(path, "password");
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

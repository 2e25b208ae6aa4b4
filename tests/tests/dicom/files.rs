//! DICOM files of other people's programs, and what those decode of them.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use nervelight_tests::root;

/// What the files say of themselves.
pub const WIDTH: usize = 580;
pub const HEIGHT: usize = 420;
pub const FRAMES: usize = 6;

/// Text and date that every attribute holds which takes one.
pub const PLANTED: [&str; 2] = ["ZZPLANTED", "19010203"];

/// Files that `dicom/write.py` wrote, once for all tests. Nobody writes there.
///
/// None where pydicom, dcmtk or ffmpeg is missing: `./setup.sh test` installs them.
pub fn folder() -> Option<PathBuf> {
    let script = std::fs::read(root().join("tests/dicom/write.py")).unwrap();
    let mut hasher = DefaultHasher::new();
    script.hash(&mut hasher);
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = base.join(format!("dicom-{:x}", hasher.finish()));
    // Each test is a process of its own.
    let lock = File::create(base.join("dicom.lock")).unwrap();
    lock.lock().unwrap();
    if !folder.exists() {
        let made = tempfile::tempdir_in(base).unwrap();
        if !write(made.path()) {
            return None;
        }
        std::fs::rename(made.keep(), &folder).unwrap();
    }
    Some(folder)
}

/// Writes the files into `folder`; false where a program for that is missing.
fn write(folder: &Path) -> bool {
    let python = root().join(".venv/bin/python");
    let has = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !has(Command::new(&python).args(["-c", "import pydicom"]))
        || !has(Command::new("dcmcjpeg").arg("--version"))
    {
        eprintln!("skipped: pydicom or dcmtk is missing; ./setup.sh test installs them");
        return false;
    }
    let script = root().join("tests/dicom/write.py");
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// The pixels that others decode of `name`.
pub fn raw(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(format!("{name}.raw"))).unwrap()
}

pub fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.dcm"))
}

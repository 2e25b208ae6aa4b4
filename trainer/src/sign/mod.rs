//! Keys in minisign's formats, serials, and bundles signed with them.
//!
//! Uses nothing of the trainer.

mod key;
mod serial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nervelight_engines::Bundle;
use nervelight_engines::bundle::{DIGEST_MARK, Draft};
use nervelight_engines::digest::sha256;

pub use key::{SigningKey, make};
pub use serial::next;

/// Writes `bundle` anew at `place`, with a serial, the change record at `record` and a signature.
///
/// The manifest has the serial, so the bundle's digest becomes another.
pub fn sign(
    bundle: &Bundle,
    key: &SigningKey,
    serial: u64,
    record: Option<&Path>,
    place: &Path,
) -> Result<Bundle> {
    let mut draft = Draft::of(bundle)?;
    draft.manifest().serial = Some(serial);
    for (name, path) in record.into_iter().flat_map(record_files) {
        let bytes = fs::read(&path).with_context(|| {
            format!("{}: cannot be read; `nervelight-train compare --record` writes it", path.display())
        })?;
        draft.file(name, bytes);
    }
    let sign = |manifest: &[u8]| {
        let comment = format!("{DIGEST_MARK}{} serial:{serial} file:manifest.json hashed", sha256(manifest));
        key.sign(manifest, &comment).map_err(std::io::Error::other)
    };
    Ok(draft.write_signed(place, sign)?)
}

/// The files of a change record, by their names in the bundle.
fn record_files(page: &Path) -> [(&'static str, PathBuf); 2] {
    [("record.html", page.into()), ("record.json", page.with_extension("json"))]
}

/// What is printed of a signed bundle.
pub fn describe(bundle: &Bundle, key: &SigningKey, before: &str) -> String {
    let serial = bundle.manifest.serial.unwrap_or_default();
    let mut text = format!("signed with {}, serial {serial}, digest {}", key.name, bundle.digest);
    if before != bundle.digest {
        text += &format!(" (it was {before}: the serial is in the manifest)");
    }
    text
}

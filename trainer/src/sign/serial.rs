//! Serials, which only grow: carts refuse a bundle under the highest that they kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nervelight_engines::store::atomic::{self, Access};
use nervelight_engines::store::engines::now;

/// The largest whole number that every reader of JSON keeps.
const LARGEST: u64 = (1 << 53) - 1;

/// The serial of the next bundle that the key at `key` signs, which is remembered beside the key. It is `asked`, or the
/// seconds since 1970, or one more than the last where that is not above it: two bundles of one second, a clock that was
/// set back.
pub fn next(key: &Path, asked: Option<u64>) -> Result<u64> {
    let memory = memory(key);
    // Two that sign at once get two serials.
    let lock = File::open(key).with_context(|| format!("{}: cannot be read", key.display()))?;
    lock.lock().with_context(|| format!("{}: cannot be locked", key.display()))?;
    let last = remembered(&memory)?;
    let serial = match asked {
        Some(asked) => {
            ensure!(
                asked > last,
                "--serial {asked}: this key has signed serial {last} already (it is in {}), and carts that kept that \
                 refuse a lower one. Leave --serial out, or give more than {last}",
                memory.display()
            );
            asked
        }
        None => now().max(last + 1),
    };
    ensure!(serial <= LARGEST, "serial {serial} is too large: the largest is {LARGEST}");
    atomic::write(&memory, Access::Umask, format!("{serial}\n").as_bytes()).with_context(|| {
        format!("{}: cannot be written, which remembers the last serial beside the key", memory.display())
    })?;
    Ok(serial)
}

/// `lab.serial` of `lab.key`.
fn memory(key: &Path) -> PathBuf {
    key.with_extension("serial")
}

fn remembered(memory: &Path) -> Result<u64> {
    let text = match fs::read_to_string(memory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        text => text.with_context(|| format!("{}: cannot be read", memory.display()))?,
    };
    match text.trim().parse() {
        Ok(last) if last < LARGEST => Ok(last),
        _ => bail!(
            "{}: is damaged. Write the serial of the last bundle that the key signed into it: `nervelightd verify` says \
             a bundle's",
            memory.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_only_grow() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("lab.key");
        assert!(next(&key, None).unwrap_err().to_string().contains("lab.key: cannot be read"));
        fs::write(&key, "").unwrap();
        let first = next(&key, None).unwrap();
        assert!(first >= 1_700_000_000);
        assert!(next(&key, None).unwrap() > first, "two in one second");
        let low = next(&key, Some(first)).unwrap_err().to_string();
        assert!(low.contains("carts that kept that refuse a lower one"), "{low}");
        let ahead = first + 1_000_000;
        assert_eq!(next(&key, Some(ahead)).unwrap(), ahead);
        assert_eq!(next(&key, None).unwrap(), ahead + 1);
        assert!(next(&key, Some(u64::MAX)).unwrap_err().to_string().contains("too large"));
        fs::write(folder.path().join("lab.serial"), "12x").unwrap();
        assert!(next(&key, None).unwrap_err().to_string().contains("is damaged"));
    }
}

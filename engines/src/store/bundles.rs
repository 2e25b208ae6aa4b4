//! Bundles in their places.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{atomic, disk};

/// Moves the bundle `from`, which is whole and on the disk, to `to` on the same file system. A tar that is there is
/// replaced. A directory that is there changes places with it at once, since one that is not empty gives way to no other;
/// the old bundle is then at `from`.
///
/// # Errors
/// When the disk refuses; both are then where they were.
pub fn put(from: &Path, to: &Path) -> io::Result<()> {
    match to.is_dir() {
        true => renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)?,
        false => fs::rename(from, to)?,
    }
    disk::sync(atomic::directory(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_takes_the_place_of_another_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let [new, place] = ["new", "place"].map(|name| folder.path().join(name));
        let make = |path: &Path, text: &str| {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("manifest.json"), text).unwrap();
        };
        let at = |path: &Path| fs::read_to_string(path.join("manifest.json")).unwrap();
        make(&new, "first");
        put(&new, &place).unwrap();
        assert_eq!((at(&place).as_str(), new.exists()), ("first", false));
        make(&new, "second");
        put(&new, &place).unwrap();
        assert_eq!((at(&place).as_str(), at(&new).as_str()), ("second", "first"));
        put(&folder.path().join("none"), &place).unwrap_err();
        assert_eq!(at(&place), "second");
    }

    #[test]
    fn a_tar_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [new, place] = ["new.tar", "place.tar"].map(|name| folder.path().join(name));
        fs::write(&new, "second").unwrap();
        fs::write(&place, "first").unwrap();
        put(&new, &place).unwrap();
        assert_eq!((fs::read_to_string(&place).unwrap().as_str(), new.exists()), ("second", false));
    }
}

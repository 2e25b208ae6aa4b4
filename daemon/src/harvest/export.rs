//! What was kept, as a folder that may leave the cart.
//!
//! ```text
//! harvest.jsonl            one item a line; schema 1, as `Item` describes it
//! crops/CASE_ITEM.png      8-bit gray, 576x416
//! maps/CASE_ITEM.png       8-bit gray, probability x 255
//! ```
//!
//! Items are sorted by their random names, so that neither order nor record says when somebody was scanned.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::digest::sha256;
use nervelight_engines::store::atomic::{self, Access};

use crate::harvest::item::{Item, Kept, SCHEMA};
use crate::harvest::shelf::{self, CROP, Entry, MAP, RECORD};

/// The items of an export.
const INDEX: &str = "harvest.jsonl";
/// Folders of crops and maps.
const FOLDERS: [(&str, &str); 2] = [("crops", CROP), ("maps", MAP)];

/// What became of an export.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Items that are new in the folder.
    pub new: usize,
    /// Items that were there before.
    pub known: usize,
    /// Items that are left out, each with why.
    pub left_out: Vec<String>,
}

/// Items with what is known of each.
type Items = Vec<(Entry, Kept)>;

/// Every item in the cart's folder that was kept at or after `since`, in seconds since 1970, the oldest first.
///
/// # Errors
/// When the folder cannot be read. An item that cannot is named in the second list.
pub fn items(root: &Path, since: u64) -> Result<(Items, Vec<String>)> {
    let entries = shelf::list(root)
        .with_context(|| format!("{}: cannot be read. Name the folder of harvest.path", root.display()))?;
    let (mut items, mut damaged) = (vec![], vec![]);
    for entry in entries.into_iter().filter(|entry| entry.at >= since) {
        let record = match fs::read(entry.path.join(RECORD)) {
            // Deleted meanwhile, to make room.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            record => record.map_err(anyhow::Error::from),
        };
        let read = record.and_then(|record| Ok(serde_json::from_slice::<Kept>(&record)?));
        match read {
            Ok(kept) if kept.item.schema == SCHEMA => items.push((entry, kept)),
            Ok(kept) => {
                let path = entry.path.display();
                damaged.push(format!(
                    "{path}: is of schema {}, not {SCHEMA}. Use a newer nervelightd",
                    kept.item.schema
                ));
            }
            Err(error) => damaged.push(format!("{}: {error:#}. Delete this folder", entry.path.display())),
        }
    }
    Ok((items, damaged))
}

/// Copies what is in the cart's folder `from` to the folder `to`. What is there already stays, so that an export can be
/// repeated and goes on where one was interrupted.
///
/// # Errors
/// When a folder cannot be read or written, or `to` holds something else.
pub fn export(from: &Path, to: &Path, since: u64) -> Result<Exported> {
    let (items, left_out) = items(from, since)?;
    let inside = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if inside(to).starts_with(inside(from)) {
        bail!("--to {}: is the cart's own folder. Name another one", to.display());
    }
    let mut index = read_index(to)?;
    let mut exported = Exported { left_out, ..Exported::default() };
    for (folder, _) in FOLDERS {
        let folder = to.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("{}: make", folder.display()))?;
    }
    for (entry, kept) in items {
        let name = format!("{}_{}", kept.item.case, kept.item.item);
        let digests = [&kept.item.crop_sha256, &kept.item.map_sha256];
        let is_known = index.contains_key(&name);
        let mut copied: Result<bool> = Ok(true);
        for ((folder, file), digest) in FOLDERS.iter().zip(digests) {
            let target = to.join(folder).join(format!("{name}.png"));
            copied = copied.and_then(|done| Ok(done && copy(&entry.path.join(file), &target, digest)?));
        }
        match copied {
            Ok(true) if is_known => exported.known += 1,
            Ok(true) => {
                index.insert(name, kept.item);
                exported.new += 1;
            }
            // Deleted meanwhile, to make room.
            Ok(false) => {}
            Err(error) => exported.left_out.push(format!("{error:#}")),
        }
    }
    write_index(to, &index)?;
    Ok(exported)
}

/// Copies a file whose digest must be this, unless it is there. Returns whether there was one.
fn copy(from: &Path, to: &Path, digest: &str) -> Result<bool> {
    if fs::read(to).is_ok_and(|there| sha256(&there) == *digest) {
        return Ok(true);
    }
    let bytes = match fs::read(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        bytes => bytes.with_context(|| format!("{}: read", from.display()))?,
    };
    if sha256(&bytes) != *digest {
        bail!("{}: is damaged. Delete its folder", from.display());
    }
    atomic::write(to, Access::Umask, &bytes).with_context(|| format!("{}: write", to.display()))?;
    Ok(true)
}

fn index_of(to: &Path) -> PathBuf {
    to.join(INDEX)
}

/// The items that an earlier export left in `to`.
fn read_index(to: &Path) -> Result<BTreeMap<String, Item>> {
    let path = index_of(to);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.with_context(|| path.display().to_string())?,
    };
    let mut index = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let item: Item = serde_json::from_str(line).with_context(|| {
            format!("{}:{}: is no item of an export. Choose another --to", path.display(), number + 1)
        })?;
        index.insert(format!("{}_{}", item.case, item.item), item);
    }
    Ok(index)
}

fn write_index(to: &Path, index: &BTreeMap<String, Item>) -> Result<()> {
    let mut text = String::new();
    for item in index.values() {
        text += &serde_json::to_string(item)?;
        text.push('\n');
    }
    let path = index_of(to);
    atomic::write(&path, Access::Umask, text.as_bytes()).with_context(|| format!("{}: write", path.display()))
}

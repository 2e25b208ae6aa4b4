//! What a configuration needs of the world outside and no reading of it can know: whether its files can be written.
//! `check` and `run` ask the same, so that they agree.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::config::{Config, FileSettings, Sink};
use crate::writable::{Identity, create_beside, identity, refuse_what_is_no_file, replace};

/// What was found of one key.
pub struct Finding {
    /// What `check` calls it.
    pub name: &'static str,
    /// The key that it is about.
    pub key: String,
    /// What is wrong may pass: a disk that is full or not mounted yet.
    pub may_pass: bool,
    /// A line about it, or what is wrong and what to do.
    pub found: Result<Option<String>>,
}

/// Looks at every file that a run writes. None is touched, and nothing is left behind.
pub fn files(config: &Config) -> Vec<Finding> {
    let mut findings = vec![];
    let mut known = HashMap::new();
    if let Some(id) = config.source.file().and_then(|path| identity_of_file(&path)) {
        known.insert(id, "the source".to_owned());
    }
    for (i, sink) in config.sinks.iter().enumerate() {
        let Sink::File(FileSettings { path, overwrite, .. }) = sink else { continue };
        let key = format!("sinks[{i}].path");
        let mut lasting = refuse_what_is_no_file(path);
        if *overwrite {
            lasting = lasting.and_then(|()| refuse_other_name(path, &key, &mut known));
        }
        let may_pass = lasting.is_ok();
        let found = lasting.and_then(|()| match overwrite {
            true => replace(path),
            // It gets a number where there is a file.
            false => create_beside(path),
        });
        findings.push(Finding { name: "sink", key, may_pass, found: found.map(|()| None) });
    }
    if let Some(harvest) = &config.harvest {
        let path = &harvest.path;
        // The folder is made where there is none.
        let inside = if path.is_dir() { path.join("item") } else { path.clone() };
        let found = create_beside(&inside).map(|()| Some(path.display().to_string()));
        findings.push(Finding { name: "harvest", key: "harvest.path".into(), may_pass: true, found });
    }
    if let Some(path) = &config.report {
        // It is written beside its place and renamed over what is there.
        let found = refuse_what_is_no_file(path).and_then(|()| create_beside(path));
        let found = found.map(|()| Some(path.display().to_string()));
        findings.push(Finding { name: "report", key: "report.path".into(), may_pass: false, found });
    }
    findings
}

/// Whether a command's own output can be written to `path`, over what is there. Nothing is touched.
///
/// # Errors
/// When it cannot, and what to do.
pub fn output(path: &Path) -> Result<()> {
    refuse_what_is_no_file(path)?;
    replace(path)
}

/// Every mistake among `findings`, with the key as `name` calls it.
///
/// # Errors
/// When there is any.
pub fn all_good(findings: Vec<Finding>, name: impl Fn(&str) -> String) -> Result<()> {
    let wrong = |Finding { key, found, .. }| Some(format!("{}: {:#}", name(&key), found.err()?));
    let mistakes: Vec<_> = findings.into_iter().filter_map(wrong).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(anyhow!(mistakes.join("\n"))) }
}

/// A device may be written to by many.
fn identity_of_file(path: &Path) -> Option<Identity> {
    identity(path).filter(|_| path.is_file())
}

/// Writing to a file by one of its names destroys what is read by another: hard links have no other sign than the inode.
fn refuse_other_name(path: &Path, key: &str, known: &mut HashMap<Identity, String>) -> Result<()> {
    let Some(id) = identity_of_file(path) else { return Ok(()) };
    match known.insert(id, key.to_owned()) {
        None => Ok(()),
        Some(other) => {
            bail!("{} is the same file as {other}, by another name. Choose another file", path.display())
        }
    }
}

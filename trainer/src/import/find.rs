//! The files to import.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_cine::{Cine, Problem, is_dicom};
use nervelight_engines::digest::sha256_of;

/// Folders within folders, at most: a disc of a hospital's archive has about five.
const DEPTH: usize = 32;

/// A cine that was found.
pub struct Found {
    pub path: PathBuf,
    pub cine: Cine,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Which of the arguments it came by.
    pub argument: usize,
}

/// Opens every DICOM file that `arguments` name or that lies in a folder of theirs, each once.
///
/// # Errors
/// Every file that cannot be used. Files of a folder that are no DICOM files are left out.
pub fn find(arguments: &[PathBuf]) -> Result<Vec<Found>> {
    let (mut found, mut problems, mut seen) = (vec![], vec![], BTreeSet::new());
    for (argument, path) in arguments.iter().enumerate() {
        let is_folder = path.is_dir();
        let mut files = vec![];
        if is_folder {
            collect(path, DEPTH, &mut files).with_context(|| format!("{}: read", path.display()))?;
            files.retain(|file| is_dicom(file));
            files.sort();
        } else {
            files.push(path.clone());
        }
        let before = found.len() + problems.len();
        for path in files {
            match Cine::open(&path) {
                // A disc has one beside its images.
                Err(error) if is_folder && matches!(error.problem, Problem::Directory) => {}
                Err(error) => problems.push(error.to_string()),
                Ok(cine) => {
                    let digest = File::open(&path)
                        .and_then(sha256_of)
                        .with_context(|| format!("{}: read", path.display()))?;
                    if seen.insert(digest.clone()) {
                        found.push(Found { path, cine, digest, argument });
                    }
                }
            }
        }
        if found.len() + problems.len() == before && is_folder {
            problems.push(format!(
                "{}: has no DICOM files with images in it; name another folder",
                path.display()
            ));
        }
    }
    if !problems.is_empty() {
        bail!("nothing was imported. Leave out or mend what cannot be used:\n  {}", problems.join("\n  "));
    }
    Ok(found)
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Links are not followed: they may lead round in a circle.
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

//! Writes the frames of cines into a data set.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::find::{Found, find};
use super::numbers::{Numbers, Whom};
use super::place::Place;
use super::record::{Frame, Record, Source};
use super::source::{Frames, Next};
use crate::data::{self, FRAME_HEIGHT, FRAME_WIDTH};
use crate::util::{Progress, write_gray};

/// What to import, and how.
pub struct Settings<'a> {
    /// Files and folders.
    pub from: &'a [PathBuf],
    /// The data set.
    pub to: &'a Path,
    /// The number of all patients in it.
    pub patient: Option<u32>,
    /// Take every so many frames.
    pub every: u32,
    /// Take whole frames.
    pub whole: bool,
    /// Scale what is taken to the size of the data set's frames.
    pub scale: bool,
    /// The frames show no nerve: write masks that say so.
    pub without_nerve: bool,
}

/// What was imported.
#[derive(Debug, Default)]
pub struct Imported {
    /// Where frames lie.
    pub folder: PathBuf,
    /// Their number.
    pub frames: usize,
    /// Files that they came from.
    pub files: usize,
    /// Numbers of their patients, the lowest and the highest.
    pub patients: (u32, u32),
    /// What is missing of them.
    pub missing: Vec<String>,
}

/// Imports cines: all of them, or nothing.
///
/// # Errors
/// Every file that cannot be used, before anything is written; then when a file cannot be read or the disk is full.
pub fn import(settings: &Settings) -> Result<Imported> {
    let Settings { from, to, patient, .. } = *settings;
    let found = find(from)?;
    let places = places(settings, &found)?;
    let mut record = Record::load(to)?;
    refuse_known(&record, &found)?;
    let folder = folder(to)?;
    let mut numbers = Numbers::new(data::highest(&folder)?, patient);
    fs::create_dir_all(&folder).with_context(|| format!("{}: make", folder.display()))?;
    // On the same disk, so that frames can be moved.
    let staged = tempfile::Builder::new().prefix(".import-").tempdir_in(to);
    let staged = staged.with_context(|| format!("{}: make a folder in it", to.display()))?;

    let mut imported = Imported { folder: folder.clone(), patients: (u32::MAX, 0), ..Imported::default() };
    let count = |found: &Found| found.cine.facts().frames.div_ceil(settings.every) as usize;
    let mut progress = Progress::new("import", 0, found.iter().map(count).sum());
    for (found, place) in found.into_iter().zip(places) {
        let facts = found.cine.facts().clone();
        let whom = facts.subject.map_or(Whom::Argument(found.argument), Whom::Subject);
        let patient = numbers.patient(whom);
        let name = found.path.display().to_string();
        if settings.whole && facts.has_burned_in_text != Some(false) {
            errln!("{name}: names and dates may be drawn into its frames; look at them");
        }
        if facts.is_cut {
            imported
                .missing
                .push(format!("{name}: is cut off; it says it has {} frames", facts.stated_frames));
        }
        let mut frames = Frames::open(found.cine).with_context(|| name.clone())?;
        for index in (0..facts.frames).step_by(settings.every as usize) {
            progress.advance(1);
            let luma = match frames.get(index).with_context(|| name.clone())? {
                Next::Luma(luma) => place.cut(luma, facts.width as usize),
                Next::Damaged(why) => {
                    imported.missing.push(format!("{name}: {why}"));
                    continue;
                }
                Next::End => {
                    imported.missing.push(format!("{name}: its video ends before frame {}", index + 1));
                    break;
                }
            };
            let frame = format!("{patient}_{}", numbers.frame(patient));
            stage(staged.path(), &frame, &luma, settings.without_nerve)?;
            record.frames.push(Frame {
                name: frame,
                source: found.digest.clone(),
                index,
                time_ms: facts.times.start(index).as_secs_f64() * 1e3,
                region: place.taken,
                scale: place.scale,
                spacing_mm: place.spacing,
            });
            imported.frames += 1;
        }
        imported.files += 1;
        imported.patients = (imported.patients.0.min(patient), imported.patients.1.max(patient));
        record.sources.push(Source {
            sha256: found.digest,
            kind: "dicom".into(),
            coding: facts.coding.into(),
            patient,
            frames: facts.frames,
        });
    }
    progress.finish();
    if imported.frames == 0 {
        bail!("nothing was imported:\n  {}", imported.missing.join("\n  "));
    }
    move_into(staged, &folder)?;
    record.save(to)?;
    Ok(imported)
}

/// Where each cine's frames are cut.
fn places(settings: &Settings, found: &[Found]) -> Result<Vec<Place>> {
    let (mut places, mut problems) = (vec![], vec![]);
    for Found { path, cine, .. } in found {
        match Place::find(cine.facts(), settings.whole, settings.scale) {
            Ok(place) => places.push(place),
            Err(problem) => problems.push(format!("{}: {problem}", path.display())),
        }
    }
    if !problems.is_empty() {
        bail!("nothing was imported:\n  {}", problems.join("\n  "));
    }
    Ok(places)
}

/// Frames that are there twice would be trained on twice.
fn refuse_known(record: &Record, found: &[Found]) -> Result<()> {
    let known = found.iter().filter_map(|Found { path, digest, .. }| {
        let source = record.sources.iter().find(|source| source.sha256 == *digest)?;
        Some(format!("{}: was imported before, as patient {}; leave it out", path.display(), source.patient))
    });
    let known: Vec<_> = known.collect();
    if known.is_empty() { Ok(()) } else { bail!("nothing was imported:\n  {}", known.join("\n  ")) }
}

/// Where a data set's frames lie: in its folder `train`, unless they lie beside where that would be.
fn folder(to: &Path) -> Result<PathBuf> {
    let train = to.join("train");
    if train.is_dir() || !to.is_dir() || data::highest(to)?.is_empty() {
        return Ok(train);
    }
    Ok(to.into())
}

fn stage(folder: &Path, name: &str, luma: &[u8], without_nerve: bool) -> Result<()> {
    let (width, height) = (FRAME_WIDTH as u32, FRAME_HEIGHT as u32);
    write_gray(&folder.join(format!("{name}.tif")), width, height, luma)?;
    if without_nerve {
        write_gray(&folder.join(format!("{name}_mask.tif")), width, height, &vec![0; luma.len()])?;
    }
    Ok(())
}

/// Moves what is whole to where it belongs. A name that was taken meanwhile is not replaced.
fn move_into(staged: TempDir, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(staged.path())? {
        let entry = entry?;
        let to = folder.join(entry.file_name());
        if to.exists() {
            bail!("{}: has come meanwhile; is another import at work there?", to.display());
        }
        fs::rename(entry.path(), &to).with_context(|| format!("{}: write", to.display()))?;
    }
    staged.close().context("remove what was staged")
}

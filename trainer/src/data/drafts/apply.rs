//! Brings the folder `train` in line with what was decided.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nervelight_engines::store::atomic::{self, Access};

use super::list::{DRAFTS, Draft, Drafts};
use super::mask::DraftMask;
use super::review::{Decision, Review, Verdict};
use crate::data::dataset::load_picture;
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH};
use crate::util::encode_gray;

/// Masks that people drew, by digest.
const MASKS: &str = "masks";
/// Where frames lie that are trained on.
const TRAIN: &str = "train";

impl Draft {
    fn file(&self, directory: &Path, is_mask: bool) -> PathBuf {
        directory.join(format!("{}{}.tif", self.name, if is_mask { "_mask" } else { "" }))
    }

    /// The frame's pixels.
    ///
    /// # Errors
    /// When its file in the data set `directory` cannot be used, or is another than was imported.
    pub fn luma(&self, directory: &Path) -> Result<Vec<u8>> {
        let luma = read(&self.file(&directory.join(DRAFTS), false))?;
        self.check(&DraftMask::of(luma), &self.picture)
    }

    /// The mask that the model drew.
    ///
    /// # Errors
    /// The same.
    pub fn drawn(&self, directory: &Path) -> Result<DraftMask> {
        let mask = DraftMask::of(read(&self.file(&directory.join(DRAFTS), true))?);
        self.check(&mask, &self.mask)?;
        Ok(mask)
    }

    fn check(&self, found: &DraftMask, digest: &str) -> Result<Vec<u8>> {
        if found.digest != digest {
            bail!("drafts/{}: its pixels are others than were imported; restore its files", self.name);
        }
        Ok(found.pixels.clone())
    }

    /// The mask with this digest: the model's, or one that a person drew.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub fn mask_of(&self, directory: &Path, digest: &str) -> Result<DraftMask> {
        if digest == self.mask {
            return self.drawn(directory);
        }
        let path = drawn_by_hand(directory, digest);
        let mask = DraftMask::of(read(&path)?);
        if mask.digest != digest {
            bail!("{}: its pixels are others than were drawn; restore it", path.display());
        }
        Ok(mask)
    }
}

impl DraftMask {
    /// Keeps a mask that a person drew, so that a decision can refer to it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, directory: &Path) -> Result<()> {
        let path = drawn_by_hand(directory, &self.digest);
        if read(&path).is_ok_and(|there| there == self.pixels) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{}: make", folder.display()))?;
        }
        write(&path, &self.pixels)
    }
}

fn drawn_by_hand(directory: &Path, digest: &str) -> PathBuf {
    directory.join(DRAFTS).join(MASKS).join(format!("{digest}.tif"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let (picture, _) = load_picture(path)
        .map_err(|why| anyhow::anyhow!("{}: {why}", path.parent().unwrap_or(path).display()))?;
    Ok(picture.luma)
}

fn write(path: &Path, pixels: &[u8]) -> Result<()> {
    let file = encode_gray(FRAME_WIDTH as u32, FRAME_HEIGHT as u32, pixels)?;
    atomic::write(path, Access::Umask, &file).with_context(|| format!("{}: write", path.display()))
}

/// Puts a frame with the mask that was decided on into the folder `train` of the data set in `directory`, or takes it out
/// of there. Doing it twice does no harm.
///
/// # Errors
/// When a file cannot be read or written.
pub fn apply(directory: &Path, draft: &Draft, decision: &Decision) -> Result<()> {
    let train = directory.join(TRAIN);
    let (frame, mask) = (draft.file(&train, false), draft.file(&train, true));
    match &decision.after {
        Some(digest) if decision.decision.is_taken() => {
            fs::create_dir_all(&train).with_context(|| format!("{}: make", train.display()))?;
            write(&mask, &draft.mask_of(directory, digest)?.pixels)?;
            write(&frame, &draft.luma(directory)?)
        }
        _ => {
            for path in [frame, mask] {
                atomic::remove(&path).with_context(|| format!("{}: remove", path.display()))?;
            }
            Ok(())
        }
    }
}

/// Does what a power cut between a decision and its frame left undone.
///
/// # Errors
/// When a file cannot be read or written.
pub fn reconcile(directory: &Path, drafts: &Drafts, review: &Review) -> Result<()> {
    let train = directory.join(TRAIN);
    for draft in &drafts.drafts {
        let Some(decision) = review.newest(&draft.name) else { continue };
        let is_taken = decision.decision.is_taken();
        let is_there = [false, true].map(|is_mask| draft.file(&train, is_mask).exists());
        if is_there != [is_taken; 2] || review.last() == Some(&*draft.name) {
            apply(directory, draft, decision)?;
        }
    }
    Ok(())
}

impl Decision {
    /// Decides now.
    pub fn now(reviewer: &str, draft: &Draft, decision: Verdict, before: &str, after: Option<&str>) -> Self {
        Self {
            schema: 0,
            at: jiff::Timestamp::now().to_string(),
            reviewer: reviewer.into(),
            draft: draft.name.clone(),
            decision,
            picture: draft.picture.clone(),
            before: before.into(),
            after: after.map(Into::into),
            model: draft.model.digest.clone(),
            chain: String::new(),
        }
    }
}

//! Decisions as they are made; each is on the disk before it is answered.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::data::drafts::{
    Decision, Draft, DraftMask, Drafts, Review, ReviewError, Verdict, apply, reconcile,
};

/// What somebody wants to become of a draft.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// How many decisions there were when it was looked at.
    pub revision: u32,
    /// What.
    pub wish: What,
    /// The mask, for [`What::Keep`]: runs of nerve, each its first pixel and its length.
    #[serde(default)]
    pub runs: Vec<u32>,
}

/// See [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Train on it with this mask.
    Keep,
    /// Do not train on it.
    Reject,
    /// Forget what was decided.
    Reopen,
}

/// Why a wish is not granted. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such draft; load the page again")]
    Unknown,
    #[error("it was decided meanwhile, in another window; load the page again")]
    Meanwhile,
    #[error("this is no mask of a frame; load the page again")]
    NoMask,
    #[error("nothing was decided about it")]
    Open,
    #[error("{0:#}")]
    Files(anyhow::Error),
    #[error(transparent)]
    Review(#[from] ReviewError),
}

/// All drafts and their decisions.
#[derive(Debug)]
pub struct Session {
    directory: PathBuf,
    drafts: Vec<Draft>,
    review: Review,
    reviewer: String,
}

impl Session {
    /// Goes on with the drafts of the data set in `directory`.
    ///
    /// # Errors
    /// When decisions cannot be read, or what was decided cannot be brought into the data.
    pub fn open(directory: &Path, mut drafts: Drafts, reviewer: &str) -> anyhow::Result<Self> {
        let review = Review::open(directory)?;
        reconcile(directory, &drafts, &review)?;
        // By case, as the frames followed one another.
        drafts.drafts.sort_by(|a, b| (a.patient, a.ms, &a.name).cmp(&(b.patient, b.ms, &b.name)));
        Ok(Self { directory: directory.into(), drafts: drafts.drafts, review, reviewer: reviewer.into() })
    }

    /// All of them, by case and time.
    pub fn drafts(&self) -> &[Draft] {
        &self.drafts
    }

    /// Where they lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who decides.
    pub fn reviewer(&self) -> &str {
        &self.reviewer
    }

    /// Drafts with a decision.
    pub fn reviewed(&self) -> usize {
        self.drafts.iter().filter(|draft| self.decision(draft).is_some()).count()
    }

    /// What stands about a draft.
    pub fn decision(&self, draft: &Draft) -> Option<&Decision> {
        self.review.newest(&draft.name).filter(|decision| decision.decision != Verdict::Reopened)
    }

    /// How many decisions there were about a draft.
    pub fn revision(&self, draft: &Draft) -> u32 {
        self.review.count(&draft.name)
    }

    /// The mask as it stands: the model's, or what a person made of it.
    ///
    /// # Errors
    /// When its file cannot be used.
    pub fn mask(&self, draft: &Draft) -> anyhow::Result<DraftMask> {
        draft.mask_of(&self.directory, self.digest(draft))
    }

    /// The digest of that mask.
    fn digest<'a>(&'a self, draft: &'a Draft) -> &'a str {
        let newest = self.review.newest(&draft.name);
        newest.and_then(|newest| newest.after.as_deref()).unwrap_or(&draft.mask)
    }

    /// Decides, and brings it into the data.
    ///
    /// # Errors
    /// Why not.
    pub fn decide(&mut self, place: usize, wish: &Wish) -> Result<(), Refusal> {
        let draft = self.drafts.get(place).ok_or(Refusal::Unknown)?;
        if self.revision(draft) != wish.revision {
            return Err(Refusal::Meanwhile);
        }
        let before = self.digest(draft).to_owned();
        let (verdict, after) = match wish.wish {
            What::Keep => {
                let mask = DraftMask::of_runs(&wish.runs).ok_or(Refusal::NoMask)?;
                if mask.digest == draft.mask {
                    (Verdict::Accepted, Some(mask.digest))
                } else {
                    // Before the decision that refers to it.
                    mask.keep(&self.directory).map_err(Refusal::Files)?;
                    (Verdict::Corrected, Some(mask.digest))
                }
            }
            What::Reject => (Verdict::Rejected, None),
            // The mask that was drawn is not lost.
            What::Reopen if self.decision(draft).is_some() => (Verdict::Reopened, Some(before.clone())),
            What::Reopen => return Err(Refusal::Open),
        };
        let decision = Decision::now(&self.reviewer, draft, verdict, &before, after.as_deref());
        self.review.add(decision.clone())?;
        // From here on it is decided; what fails now is done at the next start.
        apply(&self.directory, draft, &decision).map_err(Refusal::Files)
    }
}

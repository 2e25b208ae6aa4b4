//! Decisions as they are made and taken back; each is in the file at once.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cases::Case;
use crate::data::{Corrections, Decision, Rule};

/// What somebody wants to become of a group; frames by their place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The mask that frames get.
    pub rule: Rule,
    /// The frame whose mask is kept, for [`Rule::Keep`].
    #[serde(default)]
    pub keep: Option<usize>,
    /// Frames to leave out.
    #[serde(default)]
    pub drop: Vec<usize>,
}

/// Why a wish is not granted. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such group or frame; load the page again")]
    Unknown,
    #[error("the frames have no majority; choose a mask")]
    NoMajority,
    #[error("nothing is left to take back")]
    NoUndo,
    #[error("nothing is left to do again")]
    NoRedo,
    #[error("{0} was changed by another program; stop this one and start it again")]
    Changed(PathBuf),
    #[error("{0} cannot be written: {1}; the decision is not saved")]
    Write(PathBuf, io::Error),
}

/// A group's decision before and after.
#[derive(Debug)]
struct Change {
    case: usize,
    before: Option<Decision>,
    after: Option<Decision>,
}

/// All groups, their decisions, and the way back.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    /// Digest of the data set.
    data: String,
    cases: Vec<Case>,
    /// Decisions in the file on frames that are not in the data.
    stale: Vec<Decision>,
    /// What the file holds; none: it is not there.
    text: Option<String>,
    undo: Vec<Change>,
    redo: Vec<Change>,
}

impl Session {
    /// Goes on with what `cases` hold.
    pub fn new(path: PathBuf, data: String, cases: Vec<Case>, stale: Vec<Decision>) -> Self {
        let text = std::fs::read_to_string(&path).ok();
        Self { path, data, cases, stale, text, undo: vec![], redo: vec![] }
    }

    /// Every group.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The file of decisions.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Groups with a decision.
    pub fn resolved(&self) -> usize {
        self.cases.iter().filter(|case| case.decision.is_some()).count()
    }

    /// Decisions on frames that are not in the data.
    pub fn stale(&self) -> usize {
        self.stale.len()
    }

    /// Changes that can be taken back, and that can be made again.
    pub fn history(&self) -> [usize; 2] {
        [self.undo.len(), self.redo.len()]
    }

    /// Decides on a group, or with None opens it again; saves.
    pub fn decide(&mut self, case: usize, wish: Option<&Wish>, by: &str) -> Result<(), Refusal> {
        let of = self.cases.get(case).ok_or(Refusal::Unknown)?;
        let after = wish.map(|wish| decision(of, wish, by)).transpose()?;
        let before = of.decision.clone();
        if before == after {
            return Ok(());
        }
        self.set(case, after.clone())?;
        self.undo.push(Change { case, before, after });
        self.redo.clear();
        Ok(())
    }

    /// Decides on groups, each wish with its group, and saves once. Not to be taken
    /// back.
    pub fn decide_all(&mut self, wishes: &[(usize, Wish)], by: &str) -> Result<(), Refusal> {
        for (case, wish) in wishes {
            let of = self.cases.get_mut(*case).ok_or(Refusal::Unknown)?;
            of.decision = Some(decision(of, wish, by)?);
        }
        self.save()
    }

    /// Takes the newest decision back, or makes it again; saves. Returns its group.
    pub fn step(&mut self, back: bool) -> Result<usize, Refusal> {
        let (stack, refusal) =
            if back { (&self.undo, Refusal::NoUndo) } else { (&self.redo, Refusal::NoRedo) };
        let change = stack.last().ok_or(refusal)?;
        let (case, to) = (change.case, if back { &change.before } else { &change.after });
        self.set(case, to.clone())?;
        let (from, to) =
            if back { (&mut self.undo, &mut self.redo) } else { (&mut self.redo, &mut self.undo) };
        to.extend(from.pop());
        Ok(case)
    }

    fn set(&mut self, case: usize, to: Option<Decision>) -> Result<(), Refusal> {
        let before = std::mem::replace(&mut self.cases[case].decision, to);
        self.save().inspect_err(|_| self.cases[case].decision = before)
    }

    /// Writes every decision.
    pub fn save(&mut self) -> Result<(), Refusal> {
        if std::fs::read_to_string(&self.path).ok() != self.text {
            return Err(Refusal::Changed(self.path.clone()));
        }
        let standing = |case: &Case| case.decision.clone().map_or_else(|| case.former.clone(), |d| vec![d]);
        let decisions = self.cases.iter().flat_map(standing).chain(self.stale.iter().cloned()).collect();
        let saved = Corrections::save(&self.path, &self.data, decisions);
        let saved = saved.map_err(|error| Refusal::Write(self.path.clone(), error))?;
        self.text = Some(saved.text);
        Ok(())
    }
}

/// `wish` as a decision about the frames of `case`.
fn decision(case: &Case, wish: &Wish, by: &str) -> Result<Decision, Refusal> {
    let count = case.frames.len();
    let is_kept = matches!((wish.rule, wish.keep), (Rule::Keep, Some(place)) if place < count);
    if wish.drop.iter().any(|&place| place >= count) || is_kept != (wish.rule == Rule::Keep) {
        return Err(Refusal::Unknown);
    }
    let mut frame = case.subjects.clone();
    for (place, subject) in frame.iter_mut().enumerate() {
        subject.keep = is_kept && wish.keep == Some(place);
        subject.drop = wish.drop.contains(&place);
    }
    Ok(Decision { rule: wish.rule, by: by.into(), frame })
}

//! Corrections applied to a data set.

use std::collections::HashSet;
use std::fmt;

use nervelight_engines::settings::{self, Problem, Problems};

use super::decision::{Decision, Rule, Subject};
use super::file::{Corrections, File};
use super::places::Places;
use crate::data::frame::Frame;

const REMEDY: &str = "run `nervelight-train analyze resolve` with --prune to forget it and decide anew";

/// What corrections did to a data set.
#[derive(Debug)]
pub struct Applied {
    /// Which.
    pub corrections: Corrections,
    /// Frames left out.
    pub dropped: usize,
    /// Masks that are others now.
    pub replaced: usize,
    /// The data has other files than when the decisions were made; every one fits all the same.
    pub elsewhere: bool,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrections: {} frames dropped, {} masks replaced", self.dropped, self.replaced)?;
        if self.elsewhere {
            write!(f, " (the data has changed since; `analyze resolve` shows what is new)")?;
        }
        Ok(())
    }
}

impl Corrections {
    /// Applies every decision to `data`, the frames of the data set of this `digest`, known as `frames`.
    ///
    /// # Errors
    /// Every decision on a frame that is not there, and every majority that there is not.
    pub fn apply(self, data: &mut Vec<Frame>, digest: &str, frames: &[Subject]) -> Result<Applied, Problems> {
        let places = self.places(frames);
        let stale = stale(&self.decisions, &places, frames);
        // Once more through the text, which knows the lines.
        settings::read_text::<File>(&self.path, &self.text, |_| stale)?;
        let (mut masks, mut drops, mut undecided) = (vec![], vec![false; frames.len()], vec![]);
        for (i, (decision, places)) in self.decisions.iter().zip(&places).enumerate() {
            let all: Vec<(usize, usize)> = places.all().collect();
            for &(place, subject) in &all {
                drops[place] = decision.frame[subject].drop;
            }
            let stay: Vec<usize> = all.iter().map(|(place, _)| *place).filter(|p| !drops[*p]).collect();
            let nerve = |place: &usize| &data[*place].nerve[..];
            let mask = match decision.rule {
                Rule::Own => continue,
                Rule::Keep => {
                    let kept = all.iter().find(|(_, subject)| decision.frame[*subject].keep);
                    kept.map(|(place, _)| nerve(place).into())
                }
                rule => rule.combine(&stay.iter().map(nerve).collect::<Vec<_>>()),
            };
            match mask {
                Some(mask) => masks.extend(stay.into_iter().map(|place| (place, mask.clone()))),
                None if stay.is_empty() => {}
                None => undecided.push(Problem::at(
                    format!("decision[{i}].rule"),
                    "the frames have no majority; decide otherwise with `nervelight-train analyze resolve`",
                )),
            }
        }
        settings::read_text::<File>(&self.path, &self.text, |_| undecided)?;
        let mut replaced = 0;
        for (place, mask) in masks {
            replaced += usize::from(data[place].nerve != mask);
            data[place].nerve = mask;
        }
        let mut dropped = drops.iter();
        data.retain(|_| !dropped.next().copied().unwrap_or(false));
        let dropped = drops.into_iter().filter(|drop| *drop).count();
        let elsewhere = self.data != digest;
        Ok(Applied { corrections: self, dropped, replaced, elsewhere })
    }
}

/// Decisions on frames that are not there.
fn stale(decisions: &[Decision], places: &[Places], frames: &[Subject]) -> Vec<Problem> {
    let mut problems = vec![];
    let found: HashSet<usize> = places.iter().flat_map(|places| places.all().map(|(at, _)| at)).collect();
    for (i, (decision, places)) in decisions.iter().zip(places).enumerate() {
        for (j, (subject, place)) in decision.frame.iter().zip(&places.named).enumerate() {
            if place.is_some() {
                continue;
            }
            let Subject { name, picture, .. } = subject;
            let same = || frames.iter().enumerate().filter(|(_, frame)| frame.picture == *picture);
            let free = same().find(|(at, _)| !found.contains(at));
            let what = if same().any(|(_, frame)| frame.mask == subject.mask) {
                format!("one copy of {name} fewer is there now")
            } else if let Some((_, frame)) = free {
                format!("the mask of {} is another than was decided on", frame.name)
            } else if same().next().is_some() {
                format!("{name} is not there any more")
            } else {
                format!("no frame has the pixels that {name} had")
            };
            problems.push(Problem::at(format!("decision[{i}].frame[{j}].name"), format!("{what}; {REMEDY}")));
        }
    }
    problems
}

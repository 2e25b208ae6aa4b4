//! Whether a cart takes the model that a tag names. Pure: everything that it depends on is an argument.

use jiff::civil::Time;
use nervelight_engines::store::models::State;
use nervelight_registry::{Outcome, Verdict};

use crate::config::Follow;
use crate::follow::memory::Memory;

/// What to do about the model that the tag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It runs.
    Current,
    /// It is on probation.
    OnProbation,
    /// It is not taken, and why.
    Refused(String),
    /// Its time of the day has not come.
    Window(String),
    /// The canaries have to be asked first.
    Ask,
    /// It is taken now.
    Take,
}

/// Judges the bundle `digest` with this serial by what is known here.
pub fn judge(
    follow: &Follow,
    (digest, serial): (&str, Option<u64>),
    state: &State,
    memory: &Memory,
    now: Time,
) -> Judgement {
    if state.active.as_deref() == Some(digest) {
        let is_tried = state.probation.as_ref().is_some_and(|probation| probation.digest == digest);
        return if is_tried { Judgement::OnProbation } else { Judgement::Current };
    }
    if let Some(rolled_back) = state.rolled_back.as_ref().filter(|left| left.digest == digest) {
        return refused(&format!("it ran here and was taken back: {}", rolled_back.why));
    }
    match memory.ended(digest) {
        Some(ended) if ended.kept => return refused("it ran here, and another model was chosen since"),
        Some(ended) => return refused(&format!("it was tried here: {}", ended.why)),
        None => {}
    }
    if let Some(serial) = serial.filter(|serial| *serial < state.floor) {
        return refused(&format!(
            "its serial {serial} is below {}, which ran here. Sign the model that is wanted with a new serial",
            state.floor
        ));
    }
    if let Some(window) = follow.window.filter(|window| !window.is_open(now)) {
        return Judgement::Window(format!("waits for {window}"));
    }
    if follow.canaries.is_empty() || follow.is_canary() { Judgement::Take } else { Judgement::Ask }
}

fn refused(why: &str) -> Judgement {
    Judgement::Refused(format!("{why}. `nervelightd models use` runs it all the same, if it is stored"))
}

/// What the canaries' words come to: none to take the model, or how it stands, and whether that is a refusal.
pub fn weigh(follow: &Follow, verdicts: &[Verdict]) -> Option<(String, bool)> {
    if let Some(verdict) = verdicts.iter().find(|verdict| verdict.outcome == Outcome::Rejected) {
        return Some((format!("canary {} gave it up: {}", verdict.cart, verdict.message), true));
    }
    let kept = verdicts.len();
    (kept < follow.wait_for).then(|| (format!("{kept} of {} canaries have kept it", follow.wait_for), false))
}

#[cfg(test)]
mod tests;

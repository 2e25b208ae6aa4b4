//! Decisions by a rule, without a person: `--auto`.

use anyhow::Result;
use clap::ValueEnum;

use super::cases::Case;
use super::session::{Session, Wish};
use crate::data::{NERVE, Recorded, Rule};
use crate::util::text::grouped;

/// How to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auto {
    /// Nerve where more than half of the frames that have any have it; none when fewer than half have
    /// any. Half and half, or no pixel in more than half, stays open
    Majority,
    /// Nerve where any frame has it
    Union,
    /// Keep the frames whose mask more than half of the frames have; without such a mask drop all
    Drop,
}

/// Decides every open group of `session` and says how.
pub fn resolve(auto: Auto, data: &Recorded, session: &mut Session) -> Result<()> {
    let by = format!("auto {}", auto.to_possible_value().map_or_else(String::new, |v| v.get_name().into()));
    let (mut wishes, mut left) = (vec![], 0);
    for (i, case) in session.cases().iter().enumerate() {
        if case.decision.is_some() {
            continue;
        }
        let names = case.names();
        match decide(auto, data, case) {
            Ok((wish, what)) => {
                outln!("{names}: {what}");
                wishes.push((i, wish));
            }
            Err(why) => {
                outln!("{names}: left open, {why}");
                left += 1;
            }
        }
    }
    session.decide_all(&wishes, &by)?;
    outln!("{} groups decided, {left} left open; in {}", wishes.len(), session.path().display());
    Ok(())
}

/// What becomes of a group and how to say it, or why it stays open.
pub fn decide(auto: Auto, data: &Recorded, case: &Case) -> Result<(Wish, String), &'static str> {
    let wish = |rule, drop| Wish { rule, keep: None, drop };
    if auto == Auto::Drop {
        let votes = |mask: usize| case.masks.iter().filter(|&&other| other == mask).count();
        let drop: Vec<usize> =
            (0..case.masks.len()).filter(|&i| 2 * votes(case.masks[i]) <= case.masks.len()).collect();
        let what = match drop.len() {
            all if all == case.masks.len() => "all dropped, no mask has a majority".to_owned(),
            some => format!("{some} of {} dropped", case.masks.len()),
        };
        return Ok((wish(Rule::Own, drop), what));
    }
    let rule = if auto == Auto::Union { Rule::Union } else { Rule::Majority };
    let mask = combined(data, case, rule, &[]).ok_or("the masks have no majority")?;
    let area = mask.iter().filter(|&&pixel| pixel > 0).count();
    let what = match area {
        0 => format!("no nerve, by the majority of {}", case.masks.len()),
        area => format!("{} of {} masks, {} px", label(rule), case.masks.len(), grouped(area)),
    };
    Ok((wish(rule, vec![]), what))
}

fn label(rule: Rule) -> &'static str {
    if rule == Rule::Union { "union" } else { "majority" }
}

/// The mask that `rule` makes of the frames of a group but those in `drop`, 1 where nerve.
pub fn combined(data: &Recorded, case: &Case, rule: Rule, drop: &[usize]) -> Option<Box<[u8]>> {
    let stay = case.frames.iter().enumerate().filter(|(place, _)| !drop.contains(place));
    let masks: Vec<Vec<u8>> = stay
        .map(|(_, &frame)| {
            let mut pixels = data.frames[frame as usize].mask.pixels();
            pixels.iter_mut().for_each(|pixel| *pixel = u8::from(*pixel >= NERVE));
            pixels
        })
        .collect();
    rule.combine(&masks.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

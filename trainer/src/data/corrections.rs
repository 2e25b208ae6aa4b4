//! What was decided about frames that contradict each other: `corrections.toml`, written by
//! `analyze resolve` and applied when the data is loaded. Data files are never changed.
//!
//! ```toml
//! schema = 1
//! data = "…"              # digest of the data set that was decided on
//!
//! [[decision]]
//! rule = "keep"           # keep, union, majority, empty, own
//! by = "person"
//!
//! [[decision.frame]]
//! name = "31_52"          # for people; a frame is known by its pixels
//! picture = "…"           # SHA-256 of the frame's 580x420 pixels
//! mask = "…"              # SHA-256 of its mask's
//! keep = true             # the mask that all frames of the decision get
//! ```
//!
//! Pixels rather than files: a frame that is renamed, moved, or stored again as PNG is still what the
//! person looked at, and one whose pixels differ is not.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use nervelight_engines::settings::{self, Problem, Problems};
use nervelight_engines::store::atomic::{self, Access};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dataset::{Dataset, hex};

/// The file's layout that this version reads and writes.
const SCHEMA: u32 = 1;
const HEADER: &str =
    "# Written by `nervelight-train analyze resolve`, read by `train` (corrections = \"…\").\n\n";
const REMEDY: &str = "run `nervelight-train analyze resolve` with --prune to forget it and decide anew";

/// Which mask the frames of a decision get, those that are dropped aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// That of one of them.
    Keep,
    /// Nerve where any of them has it.
    Union,
    /// Nerve where more than half of those that have any have it. None when fewer than half have any.
    Majority,
    /// None: there is no nerve.
    Empty,
    /// Each its own.
    Own,
}

impl Rule {
    /// The mask of frames whose masks are `masks`, 1 where nerve is. None for [`Rule::Keep`] and
    /// [`Rule::Own`], which make none, and for a majority that there is not: half of the frames have
    /// a nerve, or no pixel is in more than half of them.
    pub fn combine(self, masks: &[&[u8]]) -> Option<Box<[u8]>> {
        let pixels = masks.first().map_or(0, |mask| mask.len());
        let votes = |pixel: usize| masks.iter().filter(|mask| mask[pixel] > 0).count();
        match self {
            Self::Keep | Self::Own => None,
            Self::Empty => Some(vec![0; pixels].into()),
            Self::Union => Some((0..pixels).map(|pixel| u8::from(votes(pixel) > 0)).collect()),
            Self::Majority => {
                let nerves = masks.iter().filter(|mask| mask.iter().any(|&pixel| pixel > 0)).count();
                match (2 * nerves).cmp(&masks.len()) {
                    std::cmp::Ordering::Less => Self::Empty.combine(masks),
                    std::cmp::Ordering::Equal => None,
                    std::cmp::Ordering::Greater => {
                        let mask: Box<[u8]> =
                            (0..pixels).map(|pixel| u8::from(2 * votes(pixel) > nerves)).collect();
                        mask.contains(&1).then_some(mask)
                    }
                }
            }
        }
    }
}

/// A frame with its mask, known by content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `S_N` when it was decided on. Tells frames of equal content apart.
    pub name: String,
    /// SHA-256 of its pixels, in hex.
    pub picture: String,
    /// SHA-256 of its mask's pixels, in hex.
    pub mask: String,
    /// Its mask is the one to keep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// It is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop: bool,
}

impl Subject {
    /// Of a frame and its mask, pixels as recorded.
    pub fn of(name: &str, picture: &[u8], mask: &[u8]) -> Self {
        let [picture, mask] = [picture, mask].map(|pixels| hex(&Sha256::digest(pixels)));
        Self { name: name.into(), picture, mask, keep: false, drop: false }
    }

    fn key(&self) -> (&str, &str) {
        (&self.picture, &self.mask)
    }
}

/// What becomes of some frames of one picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The mask they get.
    pub rule: Rule,
    /// Who decided: `person`, or the rule that did.
    #[serde(default)]
    pub by: String,
    /// The frames.
    pub frame: Vec<Subject>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    schema: u32,
    data: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decision: Vec<Decision>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    schema: u32,
}

/// A file of decisions.
#[derive(Debug, Clone)]
pub struct Corrections {
    /// Where it lies.
    pub path: PathBuf,
    /// As it stands there.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub digest: String,
    /// Digest of the data set that was decided on.
    pub data: String,
    /// What was decided.
    pub decisions: Vec<Decision>,
}

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
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let text = settings::text(path)?;
        // First: a later layout should be called that, not a file of many mistakes.
        settings::read_text::<Version>(path, &text, |version| match version.schema {
            SCHEMA => vec![],
            0 => vec![Problem::at("schema", "missing; this is no file of corrections")],
            n => vec![Problem::at("schema", format!("{n} is unknown, {SCHEMA} is read; update nervelight"))],
        })?;
        let File { data, decision, .. } = settings::read_text(path, &text, problems)?;
        let digest = hex(&Sha256::digest(&text));
        Ok(Self { path: path.into(), text, digest, data, decisions: decision })
    }

    /// Writes `decisions` about the data set of digest `data`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written; the file is as it was then.
    pub fn save(path: &Path, data: &str, decisions: Vec<Decision>) -> std::io::Result<Self> {
        let file = File { schema: SCHEMA, data: data.into(), decision: decisions };
        let text = HEADER.to_owned() + &toml::to_string(&file).map_err(std::io::Error::other)?;
        atomic::write(path, Access::Umask, text.as_bytes())?;
        let digest = hex(&Sha256::digest(&text));
        Ok(Self { path: path.into(), text, digest, data: file.data, decisions: file.decision })
    }

    /// For each decision the place in `frames` of each of its frames; none where it is gone. Copies
    /// of them that the decision does not name follow, each with the frame it is a copy of.
    pub fn places(&self, frames: &[Subject]) -> Vec<Places> {
        let mut at = HashMap::<_, Vec<usize>>::new();
        for (place, frame) in frames.iter().enumerate() {
            at.entry(frame.key()).or_default().push(place);
        }
        self.decisions
            .iter()
            .map(|decision| {
                let mut named = vec![None; decision.frame.len()];
                // Frames of equal content by name where the name is still there, then by order.
                for same_name in [true, false] {
                    for (subject, found) in decision.frame.iter().zip(&mut named) {
                        let Some(free) = at.get_mut(&subject.key()).filter(|_| found.is_none()) else {
                            continue;
                        };
                        let wanted = free.iter().position(|&i| !same_name || frames[i].name == subject.name);
                        *found = wanted.map(|i| free.remove(i));
                    }
                }
                let mut copies = vec![];
                for (i, subject) in decision.frame.iter().enumerate() {
                    let twins = decision.frame.iter().enumerate().filter(|(_, s)| s.key() == subject.key());
                    let like = twins.min_by_key(|(_, s)| s.drop).map_or(i, |(i, _)| i);
                    let free = at.get_mut(&subject.key()).map(std::mem::take).unwrap_or_default();
                    copies.extend(free.into_iter().map(|place| (place, like)));
                }
                Places { named, copies }
            })
            .collect()
    }

    /// Applies every decision to `data`, whose frames are `frames`.
    ///
    /// # Errors
    /// Every decision on a frame that is not there, and every majority that there is not.
    pub fn apply(self, data: &mut Dataset, frames: &[Subject]) -> Result<Applied, Problems> {
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
            let nerve = |place: &usize| &data.frames[*place].nerve[..];
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
            replaced += usize::from(data.frames[place].nerve != mask);
            data.frames[place].nerve = mask;
        }
        let mut dropped = drops.iter();
        data.frames.retain(|_| !dropped.next().copied().unwrap_or(false));
        let dropped = drops.into_iter().filter(|drop| *drop).count();
        let elsewhere = self.data != data.digest;
        Ok(Applied { corrections: self, dropped, replaced, elsewhere })
    }

    /// The digest of the data set of digest `data` with these corrections.
    pub fn digest_of(&self, data: &str) -> String {
        hex(&Sha256::digest(format!("{data} corrected by {}\n", self.digest)))
    }
}

/// Where the frames of a decision are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Of each frame of the decision.
    pub named: Vec<Option<usize>>,
    /// Further frames of the same content, each with the place in the decision of the one it equals.
    pub copies: Vec<(usize, usize)>,
}

impl Places {
    /// Every frame with its place in the decision.
    pub fn all(&self) -> impl Iterator<Item = (usize, usize)> {
        let named = self.named.iter().enumerate().filter_map(|(i, place)| Some(((*place)?, i)));
        named.chain(self.copies.iter().copied())
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

/// Every impossible value of a file.
fn problems(file: &File) -> Vec<Problem> {
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let wanted = "is no SHA-256 in hex; put back what resolve wrote";
    let mut problems = vec![];
    if !is_digest(&file.data) {
        problems.push(Problem::at("data", wanted));
    }
    let mut seen = HashMap::<(&str, &str), Vec<(usize, &str)>>::new();
    for (i, Decision { rule, frame, .. }) in file.decision.iter().enumerate() {
        let kept = frame.iter().filter(|subject| subject.keep).count();
        if frame.is_empty() {
            problems.push(Problem::at(format!("decision[{i}].rule"), "names no frame; remove it"));
        } else if *rule == Rule::Keep && kept != 1 {
            let message = format!("{kept} masks are to be kept; set keep = true at one frame");
            problems.push(Problem::at(format!("decision[{i}].rule"), message));
        } else if *rule != Rule::Keep && kept > 0 {
            let message = "keep = true needs rule = \"keep\"; change one of them";
            problems.push(Problem::at(format!("decision[{i}].rule"), message));
        }
        for (j, subject) in frame.iter().enumerate() {
            let at = |key: &str| format!("decision[{i}].frame[{j}].{key}");
            for (key, value) in [("picture", &subject.picture), ("mask", &subject.mask)] {
                if !is_digest(value) {
                    problems.push(Problem::at(at(key), wanted));
                }
            }
            let known = seen.entry(subject.key()).or_default();
            if let Some((other, _)) = known.iter().find(|(k, name)| *k != i || *name == subject.name) {
                let message =
                    format!("{} is decided twice, by decision {} too; remove one", subject.name, other + 1);
                problems.push(Problem::at(at("name"), message));
            }
            known.push((i, &subject.name));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Frame;

    const PIXELS: usize = 6;

    /// A frame of a name, a picture and a mask that numbers make.
    fn frame(name: &str, picture: u8, mask: &[u8; PIXELS]) -> (Frame, Subject) {
        let luma: Box<[u8]> = vec![picture; PIXELS].into();
        let subject = Subject::of(name, &luma, mask);
        (Frame { name: name.into(), patient: 1, luma, nerve: Box::new(*mask) }, subject)
    }

    const A: [u8; PIXELS] = [1, 1, 0, 0, 0, 0];
    const B: [u8; PIXELS] = [0, 1, 1, 0, 0, 0];
    const NONE: [u8; PIXELS] = [0; PIXELS];

    fn data(frames: &[(Frame, Subject)]) -> (Dataset, Vec<Subject>) {
        let (frames, subjects): (Vec<_>, Vec<_>) = frames.iter().cloned().unzip();
        (Dataset { frames, height: 2, width: 3, digest: "d".into(), corrections: None }, subjects)
    }

    fn three() -> Vec<(Frame, Subject)> {
        vec![frame("1_1", 7, &A), frame("1_2", 7, &B), frame("1_3", 8, &NONE), frame("2_1", 99, &A)]
    }

    /// About the first `count` frames; `change` says what.
    fn decision(rule: Rule, count: usize, change: impl FnOnce(&mut Vec<Subject>)) -> Decision {
        let mut frame = three().into_iter().take(count).map(|(_, subject)| subject).collect();
        change(&mut frame);
        Decision { rule, by: "person".into(), frame }
    }

    fn saved(decisions: Vec<Decision>) -> (tempfile::TempDir, Corrections) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("corrections.toml");
        let saved = Corrections::save(&path, &"0".repeat(64), decisions).unwrap();
        let read = Corrections::load(&path).unwrap();
        assert_eq!(
            (&saved.text, &saved.digest, &saved.decisions),
            (&read.text, &read.digest, &read.decisions)
        );
        (directory, read)
    }

    fn applied(decision: Decision, frames: &[(Frame, Subject)]) -> Result<(Dataset, String), String> {
        let (_directory, corrections) = saved(vec![decision]);
        let (mut data, subjects) = data(frames);
        let applied = corrections.apply(&mut data, &subjects).map_err(|error| error.to_string())?;
        Ok((data, applied.to_string()))
    }

    fn masks(data: &Dataset) -> Vec<(&str, &[u8])> {
        data.frames.iter().map(|frame| (frame.name.as_str(), &frame.nerve[..])).collect()
    }

    #[test]
    fn a_kept_mask_goes_to_every_frame_and_dropped_ones_go() {
        let keep = |frames: &mut Vec<Subject>| {
            frames[1].keep = true;
            frames[2].drop = true;
        };
        let (data, said) = applied(decision(Rule::Keep, 3, keep), &three()).unwrap();
        assert_eq!(masks(&data), [("1_1", &B[..]), ("1_2", &B), ("2_1", &A)]);
        assert!(
            said.starts_with("corrections: 1 frames dropped, 1 masks replaced (the data has changed"),
            "{said}"
        );
        // The kept mask's own frame may be dropped.
        let both = |frames: &mut Vec<Subject>| (frames[1].keep, frames[1].drop) = (true, true);
        let (data, _) = applied(decision(Rule::Keep, 2, both), &three()).unwrap();
        assert_eq!(masks(&data), [("1_1", &B[..]), ("1_3", &NONE), ("2_1", &A)]);
    }

    #[test]
    fn masks_are_combined_over_frames_that_stay() {
        let none = |_: &mut Vec<Subject>| ();
        let mask = |decision| applied(decision, &three()).map(|(data, _)| data.frames[0].nerve.to_vec());
        assert_eq!(mask(decision(Rule::Union, 3, none)).unwrap(), [1, 1, 1, 0, 0, 0]);
        assert_eq!(mask(decision(Rule::Majority, 3, none)).unwrap(), [0, 1, 0, 0, 0, 0]);
        assert_eq!(mask(decision(Rule::Empty, 3, none)).unwrap(), NONE);
        assert_eq!(mask(decision(Rule::Own, 3, none)).unwrap(), A);
        assert_eq!(mask(decision(Rule::Union, 3, |f| f[1].drop = true)).unwrap(), A);
        // One of two has a nerve: no majority.
        let error = mask(decision(Rule::Majority, 3, |f| f[1].drop = true)).unwrap_err();
        assert!(error.contains(":7: decision[0].rule: the frames have no majority"), "{error}");
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let majority = |masks: &[&[u8]]| Rule::Majority.combine(masks);
        assert_eq!(majority(&[&A, &NONE]), None, "half of them have a nerve");
        assert_eq!(majority(&[&A, &NONE, &NONE]).unwrap()[..], NONE);
        assert_eq!(majority(&[&A, &A, &NONE]).unwrap()[..], A);
        assert_eq!(majority(&[&A, &B]).unwrap()[..], [0, 1, 0, 0, 0, 0]);
        assert_eq!(majority(&[&A, &[0, 0, 0, 1, 0, 0]]), None, "they share no pixel");
    }

    #[test]
    fn renamed_frames_match_and_copies_follow() {
        let mut frames = three();
        frames[0] = frame("9_9", 7, &A);
        frames.push(frame("5_5", 7, &A));
        let (data, _) = applied(decision(Rule::Keep, 2, |f| f[1].keep = true), &frames).unwrap();
        assert_eq!(masks(&data)[0], ("9_9", &B[..]));
        assert_eq!(masks(&data)[4], ("5_5", &B[..]), "a copy that came later");
        // Of frames of equal content the name tells which one goes.
        let twins = vec![frame("1_1", 7, &A), frame("3_1", 7, &A), frame("1_2", 7, &B)];
        let mut twice = decision(Rule::Own, 2, |f| f[1].drop = true);
        twice.frame.insert(0, Subject { drop: true, ..twins[1].1.clone() });
        let (data, _) = applied(twice, &twins).unwrap();
        assert_eq!(masks(&data), [("1_1", &A[..])]);
    }

    #[test]
    fn decisions_on_frames_that_are_gone_are_named_with_their_line() {
        let keep = || decision(Rule::Keep, 2, |f| f[1].keep = true);
        let error = applied(keep(), &three()[1..]).unwrap_err();
        assert!(error.contains("corrections.toml:11: decision[0].frame[0].name: "), "{error}");
        // 1_2 has the same picture, and is decided on itself.
        assert!(error.contains("1_1 is not there any more"), "{error}");
        let mut repainted = three();
        repainted[0] = frame("1_1", 7, &NONE);
        let error = applied(keep(), &repainted).unwrap_err();
        assert!(error.contains("the mask of 1_1 is another than was decided on"), "{error}");
        let error = applied(keep(), &three()[2..]).unwrap_err();
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(
            error.contains("no frame has the pixels that 1_1 had") && error.contains("--prune"),
            "{error}"
        );
    }

    #[test]
    fn mistakes_are_named_with_file_and_line() {
        let (directory, good) = saved(vec![decision(Rule::Keep, 2, |f| f[0].keep = true)]);
        let other = decision(Rule::Own, 1, |_| ());
        let other =
            toml::to_string(&File { schema: 1, data: good.data.clone(), decision: vec![other] }).unwrap();
        let other = &other[other.find("[[decision]]").unwrap()..];
        for (bad, expected) in [
            (good.text.replace("schema = 1", "schema = 2"), ":3: schema: 2 is unknown, 1 is read"),
            (good.text.replace("schema = 1", ""), "schema: missing"),
            (
                good.text.replace("rule = \"keep\"", "rule = \"best\""),
                ":7: decision[0].rule: unknown variant",
            ),
            (
                good.text.replace("rule = \"keep\"", "rule = \"union\""),
                ":7: decision[0].rule: keep = true needs",
            ),
            (good.text.replace("keep = true", ""), ":7: decision[0].rule: 0 masks are to be kept"),
            (good.text.replace("picture = \"", "picture = \"x"), ":12: decision[0].frame[0].picture: is no"),
            (good.text.replace("keep = true", "kept = true"), "unknown field \"kept\""),
            (good.text.replace("rule = \"keep\"", ""), "missing field"),
            (format!("{}\n{other}", good.text), "1_1 is decided twice, by decision 1 too"),
            (
                good.text.replace("1_2", "1_1").replace(&three()[1].1.mask, &three()[0].1.mask),
                "decided twice",
            ),
            (good.text.replace("[[decision]]", "[[decision"), "corrections.toml:6: "),
            ("<html>".into(), "corrections.toml:1: "),
        ] {
            let path = directory.path().join("corrections.toml");
            std::fs::write(&path, &bad).unwrap();
            let error = Corrections::load(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected:?} in {error}\n{bad}");
        }
        let error = Corrections::load(Path::new("/no/such.toml")).unwrap_err().to_string();
        assert!(error.contains("/no/such.toml: cannot be read"), "{error}");
    }

    #[test]
    fn the_digest_tells_corrections_apart() {
        let digest = |rule| saved(vec![decision(rule, 2, |_| ())]).1.digest_of("d");
        assert_eq!(digest(Rule::Own), digest(Rule::Own));
        assert_ne!(digest(Rule::Own), digest(Rule::Union));
    }
}

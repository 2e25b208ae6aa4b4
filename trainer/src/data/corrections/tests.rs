use std::path::Path;

use super::file::File;
use super::*;
use crate::data::{Dataset, Frame};

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
    assert_eq!((&saved.text, &saved.digest, &saved.decisions), (&read.text, &read.digest, &read.decisions));
    (directory, read)
}

fn applied(decision: Decision, frames: &[(Frame, Subject)]) -> Result<(Dataset, String), String> {
    let (_directory, corrections) = saved(vec![decision]);
    let (mut data, subjects) = data(frames);
    let applied = corrections.apply(&mut data.frames, "d", &subjects).map_err(|error| error.to_string())?;
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
    assert!(error.contains("no frame has the pixels that 1_1 had") && error.contains("--prune"), "{error}");
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    let (directory, good) = saved(vec![decision(Rule::Keep, 2, |f| f[0].keep = true)]);
    let other = decision(Rule::Own, 1, |_| ());
    let other = toml::to_string(&File { schema: 1, data: good.data.clone(), decision: vec![other] }).unwrap();
    let other = &other[other.find("[[decision]]").unwrap()..];
    for (bad, expected) in [
        (good.text.replace("schema = 1", "schema = 2"), ":3: schema: 2 is unknown, 1 is read"),
        (good.text.replace("schema = 1", ""), "schema: missing"),
        (good.text.replace("rule = \"keep\"", "rule = \"best\""), ":7: decision[0].rule: unknown variant"),
        (good.text.replace("rule = \"keep\"", "rule = \"union\""), ":7: decision[0].rule: keep = true needs"),
        (good.text.replace("keep = true", ""), ":7: decision[0].rule: 0 masks are to be kept"),
        (good.text.replace("picture = \"", "picture = \"x"), ":12: decision[0].frame[0].picture: is no"),
        (good.text.replace("keep = true", "kept = true"), "unknown field \"kept\""),
        (good.text.replace("rule = \"keep\"", ""), "missing field"),
        (format!("{}\n{other}", good.text), "1_1 is decided twice, by decision 1 too"),
        (good.text.replace("1_2", "1_1").replace(&three()[1].1.mask, &three()[0].1.mask), "decided twice"),
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

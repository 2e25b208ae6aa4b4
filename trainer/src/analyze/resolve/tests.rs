//! Groups with planted contradictions, from files to decisions and back.

use std::path::{Path, PathBuf};

use super::auto::{self, Auto};
use super::cases::{self, Case};
use super::session::{Refusal, Session, Wish};
use crate::analyze::planted::{add, frame, nerve, plant};
use crate::analyze::scan;
use crate::data::{Corrections, Dataset, Recorded, Rule};
use crate::util::full_disk::on_full_disk;

struct Folder(tempfile::TempDir);

impl Folder {
    /// What the scan's tests plant, and three frames of one picture, two of them with equal masks.
    fn planted() -> Self {
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path());
        for (name, rows) in [("5_1", 20), ("5_2", 0), ("5_3", 20)] {
            add(folder.path(), name, &frame(50), &nerve(rows));
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("corrections.toml")
    }

    fn data(&self) -> Recorded {
        Recorded::load(self.path(), |_| (), &|_| ()).unwrap()
    }

    /// A new start on the same file, and how many decisions are stale.
    fn open(&self) -> (Recorded, Session, usize) {
        let data = self.data();
        let before = cases::load(&self.file()).unwrap();
        let (cases, stale) = cases::find(&data, &scan(&data, 1000, true), before.as_ref());
        let count = stale.len();
        let session = Session::new(self.file(), data.digest.clone(), cases, stale);
        (data, session, count)
    }

    fn corrected(&self) -> Dataset {
        Dataset::corrected(self.path(), Corrections::load(&self.file()).unwrap(), None).unwrap()
    }
}

fn place(session: &Session, names: &str) -> usize {
    session.cases().iter().position(|case| case.names() == names).unwrap()
}

fn wish(rule: Rule, keep: Option<usize>, drop: &[usize]) -> Wish {
    Wish { rule, keep, drop: drop.into() }
}

fn areas(data: &Dataset, names: &[&str]) -> Vec<Option<usize>> {
    let area = |name: &&str| {
        let frame = data.frames.iter().find(|frame| frame.name == **name)?;
        Some(frame.nerve.iter().filter(|&&pixel| pixel == 1).count())
    };
    names.iter().map(area).collect()
}

#[test]
fn only_contradictions_are_cases_the_worst_first() {
    let folder = Folder::planted();
    let (data, session, _) = folder.open();
    let names: Vec<String> = session.cases().iter().map(Case::names).collect();
    assert_eq!(names, ["1_3, 3_3", "5_1, 5_2, 5_3", "2_1, 2_9"]);
    let of = |i: usize| {
        let case = &session.cases()[i];
        (case.apart, case.masks_apart, case.masks.clone())
    };
    assert_eq!(of(0), (999, 3000, vec![0, 1]));
    assert_eq!(of(1), (0, 2000, vec![0, 1, 0]));
    assert_eq!(of(2), (0, 100, vec![0, 1]));
    assert_eq!(data.digest, Dataset::load(folder.path()).unwrap().digest);
}

#[test]
fn decisions_are_taken_back_made_again_and_found_by_the_next_start() {
    let folder = Folder::planted();
    let (_, mut session, _) = folder.open();
    let saved = || Corrections::load(&folder.file()).map(|saved| saved.decisions.len()).unwrap_or_default();
    session.decide(0, Some(&wish(Rule::Keep, Some(1), &[])), "person").unwrap();
    session.decide(2, Some(&wish(Rule::Union, None, &[0])), "person").unwrap();
    assert_eq!((session.resolved(), saved(), session.history()), (2, 2, [2, 0]));
    assert_eq!(session.step(true).unwrap(), 2);
    assert_eq!(session.step(true).unwrap(), 0);
    assert_eq!((session.resolved(), saved(), session.history()), (0, 0, [0, 2]));
    assert!(matches!(session.step(true), Err(Refusal::NoUndo)));
    assert_eq!(session.step(false).unwrap(), 0);
    // Another decision ends what could be made again.
    session.decide(0, Some(&wish(Rule::Keep, Some(0), &[])), "person").unwrap();
    assert!(matches!(session.step(false), Err(Refusal::NoRedo)));
    session.decide(1, Some(&wish(Rule::Own, None, &[1])), "person").unwrap();
    session.decide(0, None, "person").unwrap();
    assert_eq!(session.step(true).unwrap(), 0, "opened again is a step too");

    let (_, again, stale) = folder.open();
    assert_eq!((again.resolved(), stale), (2, 0));
    let decisions = |s: &Session| s.cases().iter().map(|case| case.decision.clone()).collect::<Vec<_>>();
    assert_eq!(decisions(&again), decisions(&session));
    let data = folder.corrected();
    assert_eq!(
        areas(&data, &["1_3", "3_3", "5_1", "5_2", "5_3"]),
        [Some(3000), Some(3000), Some(2000), None, Some(2000)]
    );
    assert_eq!(data.corrections.unwrap().to_string(), "corrections: 1 frames dropped, 1 masks replaced");
}

#[test]
fn wishes_about_frames_that_are_not_there_change_nothing() {
    let folder = Folder::planted();
    let (_, mut session, _) = folder.open();
    for (case, wish) in [
        (9, wish(Rule::Empty, None, &[])),
        (0, wish(Rule::Keep, None, &[])),
        (0, wish(Rule::Keep, Some(2), &[])),
        (0, wish(Rule::Own, None, &[2])),
    ] {
        assert!(matches!(session.decide(case, Some(&wish), "person"), Err(Refusal::Unknown)), "{wish:?}");
    }
    assert!(!folder.file().exists());
}

#[test]
fn a_file_that_cannot_be_written_or_that_another_wrote_costs_no_decision() {
    let folder = Folder::planted();
    let (_, mut session, _) = folder.open();
    let empty = wish(Rule::Empty, None, &[]);
    session.decide(0, Some(&empty), "person").unwrap();
    let before = std::fs::read(folder.file()).unwrap();
    let error = on_full_disk(64, || session.decide(1, Some(&empty), "person")).unwrap_err();
    assert!(error.to_string().contains("the decision is not saved"), "{error}");
    assert_eq!((session.resolved(), session.history()), (1, [1, 0]));
    assert_eq!(std::fs::read(folder.file()).unwrap(), before);
    session.decide(1, Some(&empty), "person").unwrap();

    let (_, mut other, _) = folder.open();
    other.decide(2, Some(&empty), "person").unwrap();
    let error = session.decide(0, None, "person").unwrap_err();
    assert!(error.to_string().contains("changed by another program"), "{error}");
    assert_eq!(Corrections::load(&folder.file()).unwrap().decisions.len(), 3);
}

#[test]
fn a_group_that_grows_is_open_again_and_keeps_what_was_decided() {
    let folder = Folder::planted();
    let (_, mut session, _) = folder.open();
    let pair = place(&session, "2_1, 2_9");
    session.decide(pair, Some(&wish(Rule::Keep, Some(1), &[])), "person").unwrap();
    add(folder.path(), "7_7", &frame(21), &nerve(5));
    let (_, mut session, stale) = folder.open();
    let grown = place(&session, "2_1, 2_9, 7_7");
    let case = &session.cases()[grown];
    assert_eq!((stale, session.resolved(), case.former.len()), (0, 0, 1));
    session.decide(0, Some(&wish(Rule::Empty, None, &[])), "person").unwrap();
    assert_eq!(Corrections::load(&folder.file()).unwrap().decisions.len(), 2, "the former one stands");
    assert_eq!(areas(&folder.corrected(), &["2_1", "2_9", "7_7"]), [Some(3100), Some(3100), Some(500)]);
    session.decide(grown, Some(&wish(Rule::Keep, Some(2), &[])), "person").unwrap();
    assert_eq!(areas(&folder.corrected(), &["2_1", "2_9", "7_7"]), [Some(500); 3]);
    assert_eq!(Corrections::load(&folder.file()).unwrap().decisions.len(), 2);
}

#[test]
fn renamed_frames_keep_their_decision_and_changed_ones_are_stale() {
    let folder = Folder::planted();
    let (_, mut session, _) = folder.open();
    session.decide(0, Some(&wish(Rule::Keep, Some(1), &[])), "person").unwrap();
    for (from, to) in [("3_3.tif", "8_8.tif"), ("3_3_mask.tif", "8_8_mask.tif")] {
        std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    }
    let (_, session, stale) = folder.open();
    assert_eq!((session.resolved(), stale), (1, 0));
    assert_eq!(areas(&folder.corrected(), &["1_3", "8_8"]), [Some(0), Some(0)]);
    add(folder.path(), "8_8", &frame(13), &nerve(7));
    let (_, mut session, stale) = folder.open();
    assert_eq!((session.resolved(), stale), (0, 1));
    let result = Dataset::corrected(folder.path(), Corrections::load(&folder.file()).unwrap(), None);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("no frame has the pixels that 3_3 had"), "{error}");
    // Kept, until it is forgotten on purpose.
    session.decide(0, Some(&wish(Rule::Empty, None, &[])), "person").unwrap();
    assert_eq!(Corrections::load(&folder.file()).unwrap().decisions.len(), 2);
}

#[test]
fn rules_decide_as_they_say() {
    let folder = Folder::planted();
    let (data, mut session, _) = folder.open();
    let told = |auto, i: usize| {
        let decided = auto::decide(auto, &data, &session.cases()[i]);
        decided.map(|(wish, what)| (wish.rule, wish.drop, what)).map_err(str::to_owned)
    };
    let open = Err("the masks have no majority".to_owned());
    let said = |rule, drop: &[usize], what: &str| Ok((rule, drop.to_vec(), what.to_owned()));
    assert_eq!(told(Auto::Majority, 0), open, "one with, one without nerve");
    assert_eq!(told(Auto::Majority, 1), said(Rule::Majority, &[], "majority of 3 masks, 2,000 px"));
    assert_eq!(told(Auto::Majority, 2), said(Rule::Majority, &[], "majority of 2 masks, 3,000 px"));
    assert_eq!(told(Auto::Union, 0), said(Rule::Union, &[], "union of 2 masks, 3,000 px"));
    assert_eq!(told(Auto::Drop, 0), said(Rule::Own, &[0, 1], "all dropped, no mask has a majority"));
    assert_eq!(told(Auto::Drop, 1), said(Rule::Own, &[1], "1 of 3 dropped"));

    session.decide(2, Some(&wish(Rule::Keep, Some(0), &[])), "person").unwrap();
    auto::resolve(Auto::Drop, &data, &mut session).unwrap();
    let by: Vec<String> = session.cases().iter().map(|case| case.decision.clone().unwrap().by).collect();
    assert_eq!(by, ["auto drop", "auto drop", "person"], "a person's decision stays");
    let corrected = folder.corrected();
    assert_eq!(corrected.corrections.as_ref().unwrap().dropped, 3);
    assert_eq!(areas(&corrected, &["1_3", "5_1", "5_2", "2_9"]), [None, Some(2000), None, Some(3000)]);
}

//! Sessions on drafts as `import --harvest` leaves them.

use std::fs;
use std::path::Path;
use std::slice::from_ref;

use nervelight_engines::{HEIGHT, WIDTH};
use serde_json::{Value, json};

use crate::analyze::review::{Refusal, Session, What, Wish};
use crate::data::drafts::{DRAFTS, Drafts, Verdict};
use crate::data::{Dataset, Split, SplitBy};
use crate::import::harvest;
use crate::util::sha256;

/// Writes an export of these items, each a case and a time; their maps have a nerve of `side` pixels squared.
fn export(folder: &Path, items: &[(&str, u64, usize)]) {
    for part in ["crops", "maps"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let mut index = String::new();
    for (n, (case, ms, side)) in items.iter().enumerate() {
        let (case, item) =
            (sha256(case.as_bytes())[..16].to_owned(), format!("{:016x}", 1000 * ms + n as u64));
        let picture = |part: &str, pixels: Vec<u8>| {
            let path = folder.join(part).join(format!("{case}_{item}.png"));
            image::GrayImage::from_raw(WIDTH as u32, HEIGHT as u32, pixels).unwrap().save(&path).unwrap();
            sha256(&fs::read(path).unwrap())
        };
        let crop = picture("crops", (0..WIDTH * HEIGHT).map(|i| ((i * 7 + n * 31) % 251) as u8).collect());
        let mut map = vec![0; WIDTH * HEIGHT];
        (100..100 + side).for_each(|y| map[y * WIDTH + 100..][..*side].fill(250));
        let map = picture("maps", map);
        let line = json!({
            "schema": 1, "case": case, "item": item, "event": item, "ms": ms, "why": "uncertain",
            "figures": { "uncertainty": 0.4, "area": side * side }, "source": "phantom",
            "width": WIDTH, "height": HEIGHT, "spacing_mm": null,
            "model": { "name": "demo 1", "digest": "ff", "precision": "fp32", "threshold": 128, "min_area": 100 },
            "crop_sha256": crop, "map_sha256": map,
        });
        index += &format!("{line}\n");
    }
    fs::write(folder.join("harvest.jsonl"), index).unwrap();
}

fn open(data: &Path) -> Session {
    Session::open(data, Drafts::find(data).unwrap().unwrap(), "A. Meyer").unwrap()
}

fn keep(session: &Session, place: usize) -> Wish {
    let draft = &session.drafts()[place];
    let runs = session.mask(draft).unwrap().runs();
    Wish { revision: session.revision(draft), wish: What::Keep, runs }
}

#[test]
fn an_export_becomes_drafts_whose_cases_are_patients_and_importing_it_again_adds_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("export"), folder.path().join("data"));
    export(&from, &[("b", 20, 40), ("a", 10, 40), ("a", 5, 0)]);
    let taken = harvest(from_ref(&from), &to).unwrap();
    assert_eq!((taken.frames, taken.cases, taken.known), (3, 2, 0));
    let names = |of: &str| -> Vec<(String, u64)> {
        let drafts = Drafts::find(&to).unwrap().unwrap().drafts;
        let case = sha256(of.as_bytes())[..16].to_owned();
        drafts.into_iter().filter(|draft| draft.case == case).map(|draft| (draft.name, draft.ms)).collect()
    };
    let (a, b) = (names("a"), names("b"));
    assert_eq!(a.len(), 2);
    assert!(a[0].1 == 5 && a[0].0.ends_with("_1") && a[1].0.ends_with("_2"), "{a:?}");
    assert_ne!(a[0].0.split('_').next(), b[0].0.split('_').next());

    // Killed before the list was written: what it left is swept.
    let stray = to.join(DRAFTS).join("77_1.tif");
    fs::copy(to.join(DRAFTS).join(format!("{}.tif", a[0].0)), &stray).unwrap();
    export(&from, &[("b", 20, 40), ("a", 10, 40), ("a", 5, 0), ("a", 30, 40), ("c", 1, 40)]);
    let taken = harvest(from_ref(&from), &to).unwrap();
    assert_eq!((taken.frames, taken.cases, taken.known), (2, 2, 3));
    assert!(!stray.exists() && names("a").len() == 3 && names("a")[..2] == a);

    // What is damaged is left out by name; what is no export is refused.
    let crop = fs::read_dir(from.join("crops")).unwrap().next().unwrap().unwrap().path();
    fs::write(&crop, "half").unwrap();
    let taken = harvest(from_ref(&from), &folder.path().join("other")).unwrap();
    assert!(taken.frames == 4 && taken.left_out[0].contains("is damaged; export it again"), "{taken:?}");
    let index = from.join("harvest.jsonl");
    let text = fs::read_to_string(&index).unwrap();
    for (bad, why) in [
        (text.replacen("\"schema\":1", "\"schema\":2", 1), "is of schema 2"),
        (text.replacen("\"case\":\"", "\"case\":\"../", 1), "16 hexadecimal digits"),
        ("{}\n".into(), "is no item of an export"),
    ] {
        fs::write(&index, bad).unwrap();
        let error = format!("{:#}", harvest(from_ref(&from), &to).unwrap_err());
        assert!(error.contains("harvest.jsonl:") && error.contains(why), "{error}");
    }
}

#[test]
fn a_person_accepts_corrects_rejects_and_reopens_and_no_case_is_divided() {
    let folder = tempfile::tempdir().unwrap();
    let (from, data) = (folder.path().join("export"), folder.path().join("data"));
    let items: Vec<_> =
        ["a", "b", "c", "d"].into_iter().flat_map(|case| (0..3).map(move |n| (case, n, 40))).collect();
    export(&from, &items);
    harvest(from_ref(&from), &data).unwrap();
    let mut session = open(&data);
    assert!(Dataset::load(&data).is_err(), "nothing is reviewed");

    let wish = keep(&session, 0);
    session.decide(0, &wish).unwrap();
    assert!(matches!(session.decide(0, &wish), Err(Refusal::Meanwhile)), "another window decided");
    let mut drawn = keep(&session, 1);
    drawn.runs.truncate(20);
    session.decide(1, &drawn).unwrap();
    let nonsense = Wish { runs: vec![1, 2, 3], ..keep(&session, 2) };
    assert!(matches!(session.decide(2, &nonsense), Err(Refusal::NoMask)));
    session.decide(2, &Wish { wish: What::Reject, ..keep(&session, 2) }).unwrap();
    assert!(matches!(session.decide(99, &wish), Err(Refusal::Unknown)));
    let reopen = |session: &Session, place| Wish { wish: What::Reopen, ..keep(session, place) };
    assert!(matches!(session.decide(3, &reopen(&session, 3)), Err(Refusal::Open)));
    assert_eq!((session.reviewed(), Dataset::load(&data).unwrap().frames.len()), (3, 2));

    // Started again, it goes on; a correction that is reopened is not lost.
    drop(session);
    let mut session = open(&data);
    let verdict =
        |session: &Session, place: usize| session.decision(&session.drafts()[place]).map(|d| d.decision);
    assert_eq!(
        [0, 1, 2, 3].map(|place| verdict(&session, place)),
        [Some(Verdict::Accepted), Some(Verdict::Corrected), Some(Verdict::Rejected), None]
    );
    session.decide(1, &reopen(&session, 1)).unwrap();
    assert_eq!(verdict(&session, 1), None);
    assert_eq!(session.mask(&session.drafts()[1]).unwrap().runs(), drawn.runs);

    for place in 3..session.drafts().len() {
        let wish = keep(&session, place);
        session.decide(place, &wish).unwrap();
    }
    let frames = Dataset::load(&data).unwrap();
    let split = Split::draw(&frames, SplitBy::Patient, 2, 7).unwrap();
    let (train, validation) = split.frames(&frames).unwrap();
    assert!(!train.is_empty() && !validation.is_empty());
    assert!(train.iter().all(|a| validation.iter().all(|b| a.patient != b.patient)));
    let log = fs::read_to_string(data.join("drafts/review.jsonl")).unwrap();
    let first: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert!(
        first["before"] == first["after"] && first["model"] == "ff" && first["decision"] == "accepted",
        "{first}"
    );
}

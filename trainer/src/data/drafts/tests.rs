use std::fs;
use std::path::Path;

use super::*;
use crate::data::{FRAME_HEIGHT, FRAME_WIDTH};
use crate::util::{sha256, write_gray};

/// A data set with one draft, `1_1`, whose mask is a square.
fn planted(directory: &Path) -> Draft {
    let folder = directory.join(DRAFTS);
    fs::create_dir_all(&folder).unwrap();
    let luma: Vec<u8> = (0..FRAME_WIDTH * FRAME_HEIGHT).map(|i| (i % 251) as u8).collect();
    let mask = square(40);
    let write = |name: &str, pixels: &[u8]| {
        write_gray(&folder.join(name), FRAME_WIDTH as u32, FRAME_HEIGHT as u32, pixels).unwrap();
    };
    write("1_1.tif", &luma);
    write("1_1_mask.tif", &mask.pixels);
    let draft = Draft {
        name: "1_1".into(),
        patient: 1,
        case: "0123456789abcdef".into(),
        item: "0123456789abcdef".into(),
        event: "0123456789abcdef".into(),
        ms: 0,
        why: "uncertain".into(),
        reason: None,
        uncertainty: 0.5,
        area: mask.area(),
        spacing_mm: None,
        model: MadeBy { name: "demo 1".into(), digest: "ff".into() },
        picture: sha256(&luma),
        mask: mask.digest,
    };
    let mut drafts = Drafts::none();
    drafts.drafts.push(draft.clone());
    drafts.save(directory).unwrap();
    draft
}

fn square(side: u32) -> DraftMask {
    let runs: Vec<u32> = (0..side).flat_map(|y| [(100 + y) * FRAME_WIDTH as u32 + 200, side]).collect();
    DraftMask::of_runs(&runs).unwrap()
}

fn decide(directory: &Path, review: &mut Review, draft: &Draft, verdict: Verdict, mask: Option<&DraftMask>) {
    let after = mask.map(|mask| mask.digest.as_str());
    let decision = Decision::now("A. Meyer", draft, verdict, &draft.mask, after);
    review.add(decision.clone()).unwrap();
    apply(directory, draft, &decision).unwrap();
}

#[test]
fn masks_are_runs_of_what_the_network_sees() {
    let mask = square(30);
    assert_eq!((mask.area(), DraftMask::of_runs(&mask.runs()).unwrap()), (900, mask));
    assert_eq!(DraftMask::of_runs(&[]).unwrap().area(), 0);
    let width = FRAME_WIDTH as u32;
    for bad in [
        &[5][..],
        &[200 * width + 10, 0],
        &[width + 10, 1],
        &[200 * width + 1, 1],
        &[200 * width + 570, 9],
        &[200 * width + 20, 9, 200 * width + 25, 9],
        &[u32::MAX, u32::MAX],
    ] {
        assert!(DraftMask::of_runs(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn a_map_becomes_the_mask_that_a_cart_shows_and_a_crop_the_frame_around_it() {
    use nervelight_engines::{HEIGHT, WIDTH};
    let mut map = vec![0; WIDTH * HEIGHT];
    map[..50].fill(200);
    (100..140).for_each(|y| map[y * WIDTH + 60..][..40].fill(128));
    let mask = DraftMask::of_map(&map, 128, 100);
    assert_eq!(mask.area(), 1600, "the speck is too small");
    assert_eq!(mask.pixels[102 * FRAME_WIDTH + 62], 255);
    assert_eq!(mask.pixels[102 * FRAME_WIDTH + 61], 0);
    let frame = frame_of_crop(&map);
    assert_eq!((frame.len(), frame[0], frame[2 * FRAME_WIDTH + 2]), (FRAME_WIDTH * FRAME_HEIGHT, 200, 200));
    assert_eq!(frame[102 * FRAME_WIDTH + 62], 128);
}

#[test]
fn what_is_decided_is_in_the_data_and_survives_a_cut_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    let draft = planted(directory);
    assert!(notice(directory).unwrap().unwrap().contains("1 drafts in"), "not reviewed");
    let train = directory.join("train");
    let drafts = Drafts::find(directory).unwrap().unwrap();
    let mut review = Review::open(directory).unwrap();
    assert!(Review::open(directory).unwrap_err().to_string().contains("another review"));
    decide(directory, &mut review, &draft, Verdict::Accepted, Some(&square(40)));
    assert!(train.join("1_1.tif").exists() && train.join("1_1_mask.tif").exists());
    assert_eq!(notice(directory).unwrap(), None);
    assert!(notice(&directory.join(DRAFTS)).unwrap().unwrap().contains("nobody reviewed"));
    decide(directory, &mut review, &draft, Verdict::Rejected, None);
    assert!(!train.join("1_1.tif").exists() && !train.join("1_1_mask.tif").exists());

    // Decided, and the power goes before the frame is in the data.
    let drawn = square(50);
    drawn.keep(directory).unwrap();
    let decision = Decision::now("A. Meyer", &draft, Verdict::Corrected, &draft.mask, Some(&drawn.digest));
    review.add(decision).unwrap();
    drop(review);
    let mut review = Review::open(directory).unwrap();
    reconcile(directory, &drafts, &review).unwrap();
    let data = crate::data::Dataset::load(directory).unwrap();
    assert_eq!(data.frames[0].nerve.iter().filter(|pixel| **pixel > 0).count(), 2500);
    decide(directory, &mut review, &draft, Verdict::Reopened, Some(&drawn));
    assert_eq!(review.count("1_1"), 4);
    assert!(notice(directory).unwrap().is_some() && !train.join("1_1.tif").exists());
}

#[test]
fn decisions_are_only_added_and_changes_of_them_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    let draft = planted(directory);
    let file = directory.join(DRAFTS).join("review.jsonl");
    let mut review = Review::open(directory).unwrap();
    for verdict in [Verdict::Rejected, Verdict::Reopened, Verdict::Rejected] {
        let before = fs::read(&file).unwrap();
        decide(directory, &mut review, &draft, verdict, None);
        assert!(fs::read(&file).unwrap().starts_with(&before));
    }
    drop(review);
    let whole = fs::read_to_string(&file).unwrap();
    assert!(whole.lines().all(|line| line.contains("\"reviewer\":\"A. Meyer\"")));

    // A power cut within a line.
    fs::write(&file, format!("{whole}{{\"schema\":1,\"at\":")).unwrap();
    assert_eq!(Review::open(directory).unwrap().count("1_1"), 3);
    assert_eq!(fs::read_to_string(&file).unwrap(), whole);

    // Somebody else did it; it was not so; the last was made the first.
    let lines: Vec<&str> = whole.lines().collect();
    for (changed, line) in [
        (whole.replacen("A. Meyer", "B. Meyer", 1), 2),
        (lines[1..].join("\n") + "\n", 1),
        (format!("{}\n{}\n", lines[0], lines[2]), 2),
        ("nonsense\n".into(), 1),
    ] {
        fs::write(&file, changed).unwrap();
        let error = Review::open(directory).unwrap_err().to_string();
        assert!(error.contains(&format!("review.jsonl:{line}:")) && error.contains("Restore"), "{error}");
        assert!(notice(directory).is_err());
    }
}

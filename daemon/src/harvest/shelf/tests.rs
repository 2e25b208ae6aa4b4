use nervelight_engines::plane;

use super::*;
use crate::harvest::figures::Figures;
use crate::harvest::item::{Item, MadeBy, SCHEMA, random_name};

fn kept(at: u64, why: Cause) -> Kept {
    let model = MadeBy {
        name: "test 1".into(),
        digest: "00".into(),
        precision: "fp32".into(),
        threshold: 128,
        min_area: 100,
    };
    let item = Item {
        schema: SCHEMA,
        case: "0123456789abcdef".into(),
        item: random_name(8),
        event: random_name(8),
        ms: at * 1000,
        why,
        reason: None,
        dice: None,
        figures: Figures::default(),
        source: "phantom".into(),
        width: 576,
        height: 416,
        spacing_mm: None,
        model,
        crop_sha256: String::new(),
        map_sha256: String::new(),
    };
    Kept { item, at }
}

fn put(shelf: &mut Shelf, at: u64, why: Cause) {
    let picture = || Picture::of(&plane()).unwrap();
    shelf.put(&kept(at, why), &picture(), &picture()).unwrap();
}

/// When what is there was kept.
fn there(root: &Path) -> Vec<u64> {
    list(root).unwrap().iter().map(|entry| entry.at).collect()
}

#[test]
fn the_oldest_that_nobody_flagged_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let root = &folder.path().join("harvest");
    let mut shelf = Shelf::open(root).unwrap();
    for (at, why) in [(1, Cause::Flagged), (2, Cause::Uncertain), (3, Cause::Flagged), (4, Cause::AreaJump)] {
        put(&mut shelf, at, why);
    }
    let (items, bytes) = shelf.holds();
    let one = bytes / items;
    // Room for one more, and for all but a byte.
    let mut room = |bytes, is_flagged| {
        let Room { deleted, is_enough } = shelf.make_room(one, bytes, is_flagged).unwrap();
        (deleted, is_enough, there(root))
    };
    assert_eq!(room(bytes + one, false), (0, true, vec![1, 2, 3, 4]));
    assert_eq!(room(bytes, false), (1, true, vec![1, 3, 4]));
    assert_eq!(room(bytes - one, false), (1, true, vec![1, 3]));
    assert_eq!(room(bytes - 2 * one, false), (0, false, vec![1, 3]), "a person's go for a person's only");
    assert_eq!(room(bytes - 2 * one, true), (1, true, vec![3]));
}

#[test]
fn a_restart_finds_what_is_there_and_sweeps_what_is_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut shelf = Shelf::open(root).unwrap();
    put(&mut shelf, 1, Cause::Uncertain);
    put(&mut shelf, 2, Cause::Flagged);
    assert!(Shelf::open(root).is_err_and(|error| error.to_string().contains("another nervelightd")));
    let holds = shelf.holds();
    drop(shelf);
    // A power cut while one was written, and while one was deleted.
    let case = root.join("0123456789abcdef");
    for name in [".new-0000000003-auto-0123456789abcdef", "0000000003-auto-0123456789abcdef"] {
        fs::create_dir(case.join(name)).unwrap();
        fs::write(case.join(name).join(CROP), "half").unwrap();
    }
    // What is not ours.
    fs::create_dir_all(root.join("photos/2026")).unwrap();
    fs::write(case.join("notes.txt"), "mine").unwrap();
    let foreign = case.join("0000000004-auto-0123456789abcdef");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "mine").unwrap();
    assert!(Shelf::open(root).is_err(), "what cannot be swept is said");
    fs::rename(&foreign, root.join("letters")).unwrap();
    let shelf = Shelf::open(root).unwrap();
    assert_eq!((shelf.holds(), there(root)), (holds, vec![1, 2]));
    let names: Vec<_> = fs::read_dir(&case).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(root.join("photos/2026").exists() && root.join("letters/letter.txt").exists());
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut shelf = Shelf::open(folder.path()).unwrap();
    put(&mut shelf, 1, Cause::Uncertain);
    let case = folder.path().join("0123456789abcdef");
    // A file has the place of the item.
    let kept = kept(2, Cause::Uncertain);
    fs::write(case.join(format!("0000000002-auto-{}", kept.item.item)), "").unwrap();
    let picture = || Picture::of(&plane()).unwrap();
    assert!(shelf.put(&kept, &picture(), &picture()).is_err());
    assert_eq!((shelf.holds().0, there(folder.path())), (1, vec![1]));
    assert_eq!(fs::read_dir(&case).unwrap().count(), 2);
}

#[test]
fn names_of_items_are_known() {
    assert_eq!(parse("1764322222-auto-9f3c21ab0d4e7756"), Some((1_764_322_222, false)));
    assert_eq!(parse("1764322222-flag-9f3c21ab0d4e7756"), Some((1_764_322_222, true)));
    for other in [
        "",
        "x",
        "1764322222-auto",
        "1764322222-auto-x",
        "12-auto-9f3c21ab0d4e7756",
        "..-auto-9f3c21ab0d4e7756",
    ] {
        assert_eq!(parse(other), None, "{other}");
    }
}

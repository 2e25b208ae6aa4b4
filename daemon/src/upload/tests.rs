use nervelight_engines::digest::sha256;

use super::*;

fn about(owner: &str, bytes: &[u8]) -> About {
    About { owner: owner.into(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
}

fn write(part: &Arc<Part>, offset: u64, bytes: &[u8]) -> Result<(), UploadError> {
    let mut writer = part.writer(offset)?;
    writer.write(bytes)?;
    writer.sync()
}

#[test]
fn an_upload_goes_on_after_a_restart_and_is_handed_over_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = b"not a bundle, and that is not asked here";
    let uploads = Uploads::open(folder.path()).unwrap();
    let (part, is_new) = uploads.begin(about("ward", bytes)).unwrap();
    assert!(is_new && part.offset() == 0);
    write(&part, 0, &bytes[..10]).unwrap();
    let id = part.id.clone();
    drop((part, uploads));

    let uploads = Uploads::open(folder.path()).unwrap();
    let (part, is_new) = uploads.begin(about("ward", bytes)).unwrap();
    assert!(!is_new && part.id == id && part.offset() == 10);
    assert!(matches!(uploads.take("ward", &id), Err(UploadError::Unfinished { offset: 10, .. })));
    write(&part, 10, &bytes[10..]).unwrap();
    let path = uploads.take("ward", &id).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(matches!(uploads.find("ward", &id), Err(UploadError::Unknown)));
    uploads.give_back(part, &path);
    assert_eq!(uploads.find("ward", &id).unwrap().offset(), bytes.len() as u64);
    assert_eq!(fs::read(uploads.take("ward", &id).unwrap()).unwrap(), bytes);
}

#[test]
fn pieces_that_do_not_fit_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::open(folder.path()).unwrap();
    let (part, _) = uploads.begin(about("ward", b"0123456789")).unwrap();
    write(&part, 0, b"0123").unwrap();
    assert!(matches!(write(&part, 0, b"0123"), Err(UploadError::Offset(4))));
    assert!(matches!(write(&part, 1 << 40, b"sparse"), Err(UploadError::Offset(4))));
    assert!(matches!(write(&part, 4, b"456789 and more"), Err(UploadError::More(10))));
    assert_eq!(part.offset(), 4);
    let writer = part.writer(4).unwrap();
    assert!(matches!(part.writer(4), Err(UploadError::Busy(4))));
    assert!(matches!(uploads.give_up("ward", &part.id), Err(UploadError::Busy(4))));
    drop(writer);
    assert!(matches!(uploads.find("theatre", &part.id), Err(UploadError::Unknown)), "another's");
    uploads.give_up("ward", &part.id).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(part.writer(4), Err(UploadError::Busy(_))), "it is gone");
}

#[test]
fn other_bytes_than_were_announced_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::open(folder.path()).unwrap();
    let (part, _) = uploads.begin(about("ward", b"0123456789")).unwrap();
    write(&part, 0, b"012345678X").unwrap();
    assert!(matches!(uploads.take("ward", &part.id), Err(UploadError::Digest { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // Bytes that never reached the disk before the power went, in a file as long as it should be.
    let (part, _) = uploads.begin(about("ward", b"0123456789")).unwrap();
    let id = part.id.clone();
    fs::File::options()
        .write(true)
        .open(folder.path().join(&id).with_extension(part::BYTES))
        .unwrap()
        .set_len(10)
        .unwrap();
    let uploads = Uploads::open(folder.path()).unwrap();
    assert!(matches!(uploads.take("ward", &id), Err(UploadError::Digest { .. })));
}

#[test]
fn sizes_and_numbers_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::open(folder.path()).unwrap();
    let sized = |bytes| uploads.begin(About { owner: "ward".into(), bytes, sha256: "0".repeat(64) });
    assert!(matches!(sized(0), Err(UploadError::Size { .. })));
    assert!(matches!(sized(u64::MAX), Err(UploadError::Size { .. })));
    let bad = About { owner: "ward".into(), bytes: 5, sha256: "../../etc".into() };
    assert!(matches!(uploads.begin(bad), Err(UploadError::NoDigest)));
    let parts: Vec<_> = (1..=MOST as u64).map(|bytes| sized(bytes).unwrap().0).collect();
    assert!(matches!(sized(100), Err(UploadError::Many(MOST))));
    // The one that was left alone makes room.
    let left = folder.path().join(&parts[1].id).with_extension(part::BYTES);
    let ago = |duration| std::time::SystemTime::now() - duration;
    fs::File::options().write(true).open(left).unwrap().set_modified(ago(IDLE * 2)).unwrap();
    sized(100).unwrap();
    assert!(matches!(uploads.find("ward", &parts[1].id), Err(UploadError::Unknown)));
    for part in [&parts[0], &parts[2]] {
        let path = folder.path().join(&part.id).with_extension(part::BYTES);
        fs::File::options().write(true).open(path).unwrap().set_modified(ago(DAY * 2)).unwrap();
    }
    uploads.sweep();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2 * 2);
}

#[test]
fn what_cannot_be_gone_on_with_is_removed_at_the_start_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.part", "x"), ("b.json", "{}"), ("c.tar", "x"), ("follow.bin", "x")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("d.json"), serde_json::to_vec(&about("ward", b"ab")).unwrap()).unwrap();
    fs::write(folder.path().join("d.part"), "more than announced").unwrap();
    Uploads::open(folder.path()).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["follow.bin"]);
}

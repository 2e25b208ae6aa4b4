//! Nothing that is kept or exported says whom it shows, where, or when.

use std::fs;
use std::path::Path;
use std::process::Command;

use nervelight_tests::web::request;
use nervelight_tests::{Cart, free_port, run};

use super::{ALL, cart, count, export, files, harvest, items};

/// A password and a user in a URI, a token, and a patient in the name of a file.
const PLANTED: [&str; 5] = ["planted-in-uri", "planted-user", "planted-token", "ZZPLANTED", "19010203"];

fn assert_nothing(cart: &Cart, to: &Path) {
    let host = run(Command::new("uname").arg("-n")).unwrap().stdout;
    let folder = cart.dir.path().file_name().unwrap().to_str().unwrap();
    let forbidden = PLANTED.iter().copied().chain([host.trim(), folder]);
    let forbidden: Vec<_> = forbidden.filter(|word| !word.is_empty()).collect();
    for path in files(&cart.path("harvest")).into_iter().chain(files(to)) {
        let (name, contents) =
            (path.strip_prefix(cart.dir.path()).unwrap().display().to_string(), fs::read(&path).unwrap());
        for word in &forbidden {
            let is_there = contents.windows(word.len()).any(|part| part == word.as_bytes());
            // Packed pixels may spell a short name of a host by chance.
            let is_chance = name.ends_with(".png") && word.len() < 6;
            assert!((!is_there || is_chance) && !name.contains(word), "{word} stands in {name}");
        }
        if name.ends_with(".png") {
            assert!(
                chunks(&contents).iter().all(|kind| [*b"IHDR", *b"IDAT", *b"IEND"].contains(kind)),
                "{name}"
            );
        }
    }
}

/// The kinds of a PNG's chunks.
fn chunks(png: &[u8]) -> Vec<[u8; 4]> {
    let (mut kinds, mut rest) = (vec![], &png[8..]);
    while let [a, b, c, d, kind @ ..] = rest {
        kinds.push(kind[..4].try_into().unwrap());
        // After the kind, its bytes and a checksum.
        rest = &kind[4 + u32::from_be_bytes([*a, *b, *c, *d]) as usize + 4..];
    }
    kinds
}

/// When what is there was kept, which is for the cart alone.
fn times(cart: &Cart) -> Vec<String> {
    let records = files(&cart.path("harvest")).into_iter().filter(|path| path.ends_with("item.json"));
    let record = |path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    records.map(|path| record(path)["at"].to_string()).collect()
}

#[test]
fn text_around_the_crop_and_credentials_of_the_source_stay_out() {
    let port = free_port().unwrap();
    // A dark picture that moves; all around it is white, as if a name were written there.
    let source = "{ kind = \"pipeline\", pipeline = '''souphttpclientsink async=false \
                  location=http://planted-user:planted-in-uri@127.0.0.1:9/ZZPLANTED?token=planted-token \
                  videotestsrc is-live=true pattern=ball foreground-color=0xff707070 ! \
                  video/x-raw,format=I420,width=576,height=416,framerate=15/1 ! \
                  videobox fill=white border-alpha=1.0 left=-100 right=-100 top=-80 bottom=-80''' }";
    let cart = cart(port, source, ALL);
    let running = cart.start().unwrap();
    wait_for_flag(port);
    harvest(port, "crops", |h| count(&h["kept"]["flagged"]) >= 2);
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let to = cart.path("export");
    export(&cart, &to);
    assert_nothing(&cart, &to);
    let index = fs::read_to_string(to.join("harvest.jsonl")).unwrap();
    for time in times(&cart) {
        assert!(!index.contains(&time) && !index.contains("\"at\""), "{time} stands in {index}");
    }
    let brightest =
        |path: &Path| image::open(path).unwrap().into_luma8().into_raw().into_iter().max().unwrap();
    let crops = files(&to.join("crops"));
    assert!(crops.len() >= 2);
    for crop in crops {
        let most = brightest(&crop);
        assert!((60..200).contains(&most), "{most} is in {}: white lies around the crop", crop.display());
    }
}

fn wait_for_flag(port: u16) {
    nervelight_tests::wait_for("a flag", || {
        request(port, "POST", "/api/v1/harvest/flag", "{\"reason\": \"unspecified\"}")
    })
    .unwrap();
}

#[test]
fn what_a_dicom_file_says_of_a_patient_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let python = nervelight_tests::root().join(".venv/bin/python");
    let script = nervelight_tests::root().join("tests/dicom/write.py");
    let written = Command::new(python).arg(script).arg(folder.path()).output();
    if !written.is_ok_and(|output| output.status.success()) {
        return println!("skipped: pydicom or dcmtk is missing; ./setup.sh test installs them");
    }
    let file = folder.path().join("ZZPLANTED 19010203.dcm");
    fs::copy(folder.path().join("grey.dcm"), &file).unwrap();
    let port = free_port().unwrap();
    let source = format!("{{ kind = \"file\", path = '{}', paced = true }}", file.display());
    let cart = cart(port, &source, "uncertainty = 0.0\nmin_interval_s = 0.0");
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let to = cart.path("export");
    export(&cart, &to);
    assert!(!items(&to).is_empty(), "{}", ended.stderr);
    // The file says how large a pixel is, and that is kept.
    assert!(items(&to).iter().all(|item| item["source"] == "file" && item["spacing_mm"][0].is_number()));
    assert_nothing(&cart, &to);
}

//! `nervelight-train import`: frames of cines as a data set.

use std::fs;
use std::path::Path;
use std::process::Command;

use nervelight_tests::{Ended, program, run};
use serde_json::Value;
use tiff::decoder::{Decoder, DecodingResult};

use super::files::{self, FRAMES, HEIGHT, PLANTED, WIDTH, folder, raw};

const PIXELS: usize = WIDTH * HEIGHT;

fn train(arguments: &[&str]) -> Ended {
    run(Command::new(program("nervelight-train").unwrap()).args(arguments)).unwrap()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A frame of a data set.
fn frame(data: &Path, name: &str) -> Vec<u8> {
    let file = fs::File::open(data.join(format!("train/{name}.tif"))).unwrap();
    let mut decoder = Decoder::new(std::io::BufReader::new(file)).unwrap();
    assert_eq!(decoder.dimensions().unwrap(), (WIDTH as u32, HEIGHT as u32));
    let DecodingResult::U8(luma) = decoder.read_image().unwrap() else { panic!("{name} is not of 8 bits") };
    luma
}

fn record(data: &Path) -> Value {
    serde_json::from_slice(&fs::read(data.join("import.json")).unwrap()).unwrap()
}

#[test]
fn a_folder_of_cines_becomes_a_data_set_without_the_patients() {
    let Some(folder) = folder() else { return };
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(from.path().join("A")).unwrap();
    // Of one patient, of another one, and no DICOM file.
    for (name, as_name) in
        [("grey", "A/1"), ("jpeg_lossless_rgb", "A/2.dcm"), ("implicit", "B"), ("h264_mp4", "C.dcm")]
    {
        fs::copy(files::file(&folder, name), from.path().join(as_name)).unwrap();
    }
    fs::write(from.path().join("notes.txt"), "ZZPLANTED").unwrap();
    let (from_text, data) = (text(from.path()), to.path().join("data"));
    let ended = train(&["import", &from_text, "--to", &text(&data), "--every", "2", "--without-nerve"]);
    assert!(ended.success, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("12 frames of 4 files") && ended.stdout.contains("patients 1 to 2"),
        "{}",
        ended.stdout
    );

    // In the order of their paths.
    let grey = raw(&folder, "grey");
    for (n, index) in [0, 2, 4].into_iter().enumerate() {
        let pixels = &grey[index * PIXELS..][..PIXELS];
        assert!(frame(&data, &format!("1_{}", n + 1)) == pixels, "grey {index}");
        assert!(frame(&data, &format!("2_{}", n + 1)) == pixels, "implicit {index}");
        let video = frame(&data, &format!("1_{}", n + 7));
        let smooth = &raw(&folder, "smooth")[index * PIXELS..][..PIXELS];
        assert!(video.iter().zip(smooth).all(|(a, b)| a.abs_diff(*b) <= 3), "H.264 {index}");
    }
    let record = record(&data);
    let first = &record["frames"][1];
    assert_eq!((first["name"].as_str(), first["index"].as_u64()), (Some("1_2"), Some(2)));
    assert_eq!((first["time_ms"].as_f64(), first["spacing_mm"][0].as_f64()), (Some(50.0), Some(0.125)));
    assert_eq!(record["sources"].as_array().unwrap().len(), 4);

    let mut said = format!("{}{}", ended.stdout, ended.stderr).into_bytes();
    for entry in fs::read_dir(data.join("train")).unwrap().chain(fs::read_dir(&data).unwrap()) {
        let path = entry.unwrap().path();
        said.extend(text(&path).into_bytes());
        said.extend(if path.is_file() { fs::read(&path).unwrap() } else { vec![] });
    }
    for planted in PLANTED {
        assert!(!said.windows(planted.len()).any(|window| window == planted.as_bytes()), "{planted}");
    }
    assert!(fs::read_dir(&data).unwrap().count() == 2, "nothing is left of what was staged");

    // The trainer takes what it made.
    let scan = train(&["analyze", "scan", "--data", &text(&data), "--out", &text(&to.path().join("scan"))]);
    assert!(scan.success, "{}", scan.stderr);

    // Never twice, and never over what is there.
    let again = train(&["import", &from_text, "--to", &text(&data)]);
    assert!(!again.success && again.stderr.contains("was imported before, as patient 1"), "{}", again.stderr);
    let more = text(&files::file(&folder, "rle"));
    let added = train(&["import", &more, "--to", &text(&data), "--patient", "2"]);
    assert!(
        added.success && added.stdout.contains("6 frames of 1 files"),
        "{}{}",
        added.stdout,
        added.stderr
    );
    assert!(added.stdout.contains("S_N_mask.tif"), "{}", added.stdout);
    assert!(frame(&data, "2_9") == grey[5 * PIXELS..], "behind the three that were there");
    let scan = train(&["analyze", "scan", "--data", &text(&data), "--out", &text(&to.path().join("scan2"))]);
    assert!(format!("{}{}", scan.stdout, scan.stderr).contains("has no mask"), "{scan:?}");
}

#[test]
fn the_ultrasound_is_cut_out_of_the_screen() {
    let Some(folder) = folder() else { return };
    let to = tempfile::tempdir().unwrap();
    let import = |name: &str, data: &str, more: &[&str]| {
        let (file, to) = (text(&files::file(&folder, name)), text(&to.path().join(data)));
        train(&[&["import", &file, "--to", &to], more].concat())
    };
    let ended = import("screen", "screen", &[]);
    assert!(ended.success, "{}", ended.stderr);
    let screen = raw(&folder, "screen");
    // The middle of 640x480 pixels at 100, 60.
    let cut = frame(&to.path().join("screen"), "1_1");
    assert!((0..PIXELS).all(|i| cut[i] == screen[(90 + i / WIDTH) * 800 + 130 + i % WIDTH]));
    let ended = import("screen", "scaled", &["--scale"]);
    assert!(ended.success, "{}", ended.stderr);
    let record = record(&to.path().join("scaled"));
    assert_eq!(record["frames"][0]["scale"].as_f64(), Some(0.875), "420 rows of 480");
    let spacing = record["frames"][0]["spacing_mm"][1].as_f64().unwrap();
    assert!((spacing - 0.125 / 0.875).abs() < 1e-6, "{spacing}");
    let small = import("small", "small", &[]);
    assert!(
        !small.success && small.stderr.contains("400x300") && small.stderr.contains("--scale"),
        "{}",
        small.stderr
    );
    let nowhere = import("nowhere", "nowhere", &[]);
    assert!(!nowhere.success && nowhere.stderr.contains("--whole"), "{}", nowhere.stderr);
    assert!(!to.path().join("nowhere").exists() && !to.path().join("small").exists(), "nothing is written");
    assert!(import("nowhere", "nowhere", &["--whole"]).success);
    let tools = import("jpeg_ls", "none", &[]);
    assert!(!tools.success && tools.stderr.contains("dcmdjpls"), "{}", tools.stderr);
}

#[test]
fn what_is_whole_of_a_damaged_file_is_imported_and_the_rest_is_named() {
    let Some(folder) = folder() else { return };
    let to = tempfile::tempdir().unwrap();
    let cut = tempfile::Builder::new().suffix(".dcm").tempfile().unwrap();
    let bytes = fs::read(files::file(&folder, "grey")).unwrap();
    fs::write(cut.path(), &bytes[..bytes.len() - PIXELS]).unwrap();
    let ended = train(&["import", &text(cut.path()), "--to", &text(to.path())]);
    assert!(
        !ended.success && ended.stderr.contains("is cut off; it says it has 6 frames"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("5 frames of 1 files"), "{}", ended.stdout);
    assert_eq!(frame(to.path(), "1_5").len(), PIXELS);
    assert_eq!(record(to.path())["frames"].as_array().unwrap().len(), FRAMES - 1);
}

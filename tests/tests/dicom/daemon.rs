//! Cines through the built daemon, into recordings whose every pixel is looked at.

use std::fs;
use std::path::Path;

use nervelight_tests::video::{Picture, decode};
use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, Ended, free_port, run, wait_for};

use super::files::{self, FRAMES, HEIGHT, PLANTED, WIDTH, folder, raw};

const PIXELS: usize = WIDTH * HEIGHT;

/// A cart that plays `path` into a lossless recording, and shows no overlay.
fn cart(path: &Path, more: &str) -> Cart {
    cart_at(path, false, more)
}

fn cart_at(path: &Path, paced: bool, more: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {{ kind = "file", path = '{}', paced = {paced} }}
        model = {{ bundle = "BUNDLE" }}
        overlay = {{ enabled = false }}
        report = {{ path = "report.json" }}
        {more}
        [[sinks]]
        kind = "file"
        path = "out.mkv"
        encoder = "x264enc pass=quant quantizer=0 speed-preset=ultrafast"
        "#,
        path.display()
    ))
    .unwrap()
}

const NO_PAGE: &str = "http = { enabled = false }";

fn played(path: &Path) -> (Cart, Ended, Vec<Picture>) {
    let cart = cart(path, NO_PAGE);
    let ended = cart.run("run").unwrap();
    let pictures = decode(&cart.path("out.mkv")).unwrap_or_default();
    (cart, ended, pictures)
}

/// The largest difference of a picture's luma.
fn off(picture: &Picture, luma: &[u8]) -> u8 {
    picture.luma.iter().zip(luma).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_cine_is_played_frame_by_frame_and_grey_by_grey() {
    let Some(folder) = folder() else { return };
    for name in ["grey", "rle", "jpeg_lossless"] {
        let (cart, ended, pictures) = played(&files::file(&folder, name));
        assert!(ended.success, "{name}: {}", ended.stderr);
        let raw = raw(&folder, name);
        assert_eq!(pictures.len(), FRAMES, "{name}");
        for (n, picture) in pictures.iter().enumerate() {
            assert_eq!((picture.width, picture.height, picture.full_range), (WIDTH, HEIGHT, true), "{name}");
            assert_eq!(picture.pts, n as u64 * 25_000_000, "{name}: the file's frame time");
            assert_eq!(off(picture, &raw[n * PIXELS..][..PIXELS]), 0, "{name}, frame {n}");
        }
        let report = cart.report().unwrap();
        assert_eq!(
            (report["frames_in"].as_u64(), report["frames_out"].as_u64()),
            (Some(6), Some(6)),
            "{report}"
        );
    }
}

#[test]
fn colour_keeps_its_luma_and_its_colours() {
    let Some(folder) = folder() else { return };
    let colours = raw(&folder, "rgb");
    let (_, ended, pictures) = played(&files::file(&folder, "ybr"));
    assert!(ended.success, "{}", ended.stderr);
    for (n, picture) in pictures.iter().enumerate() {
        let pixel = |i: usize| &colours[3 * (n * PIXELS + i)..][..3];
        assert!((0..PIXELS).all(|i| picture.luma[i] == pixel(i)[0]), "luma of frame {n}");
        // In the middle of an even slope.
        let (x, y) = (480, 300);
        let (at, near) = (y / 2 * (WIDTH / 2) + x / 2, y * WIDTH + x);
        for (plane, expected) in picture.chroma.iter().zip(&pixel(near)[1..]) {
            assert!(plane[at].abs_diff(*expected) <= 2, "chroma {} for {expected} of frame {n}", plane[at]);
        }
    }
}

#[test]
fn video_inside_is_decoded_by_gstreamer() {
    let Some(folder) = folder() else { return };
    for (name, most, step) in [
        ("h264", 3, 25_000_000),
        ("h264_mp4", 3, 25_000_000),
        ("h264_ts", 3, 25_000_000),
        ("h265", 4, 25_000_000),
        ("mpeg2", 6, 40_000_000),
    ] {
        let (_, ended, pictures) = played(&files::file(&folder, name));
        assert!(ended.success, "{name}: {}", ended.stderr);
        assert_eq!(pictures.len(), FRAMES, "{name}");
        let raw = raw(&folder, name);
        for (n, picture) in pictures.iter().enumerate() {
            let off = off(picture, &raw[n * PIXELS..][..PIXELS]);
            assert!(off <= most, "{name}, frame {n}: off by {off}");
        }
        let steps: Vec<_> = pictures.windows(2).map(|pair| pair[1].pts - pair[0].pts).collect();
        assert!(steps.iter().all(|found| found.abs_diff(step) <= 1_000_000), "{name}: {steps:?}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_played_up_to_there_and_said_to_be() {
    let Some(folder) = folder() else { return };
    let cut = tempfile::Builder::new().suffix(".dcm").tempfile().unwrap();
    for name in ["grey", "jpeg_lossless"] {
        let bytes = fs::read(files::file(&folder, name)).unwrap();
        fs::write(cut.path(), &bytes[..bytes.len() * 2 / 3]).unwrap();
        let (_, ended, pictures) = played(cut.path());
        assert!((2..=4).contains(&pictures.len()), "{name}: {}", pictures.len());
        assert!(
            !ended.success && ended.stderr.contains("is cut short: it ended at"),
            "{name}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains("of 150.00ms"), "{name}: {}", ended.stderr);
    }
}

#[test]
fn damaged_frames_are_left_out_and_counted() {
    let Some(folder) = folder() else { return };
    let mut bytes = fs::read(files::file(&folder, "rle")).unwrap();
    // The RLE header of the third frame: 1 segment, which begins at byte 64.
    let header: Vec<_> = [1_u32, 64, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    let third = bytes.windows(12).enumerate().filter(|(_, window)| *window == header).nth(2).unwrap().0;
    bytes[third] = 9;
    let broken = tempfile::Builder::new().suffix(".dcm").tempfile().unwrap();
    fs::write(broken.path(), &bytes).unwrap();
    let (_, ended, pictures) = played(broken.path());
    assert_eq!(pictures.len(), FRAMES - 1);
    assert_eq!(pictures[2].pts, 75_000_000, "the others keep their times");
    assert!(
        !ended.success && ended.stderr.contains("frame 3 is damaged: its RLE header"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("about 1 frames are missing or broken"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_played_is_refused_at_once_and_by_check() {
    let Some(folder) = folder() else { return };
    let text = tempfile::Builder::new().suffix(".DCM").tempfile().unwrap();
    fs::write(text.path(), "hello").unwrap();
    for (path, words) in [
        (files::file(&folder, "jpeg_ls"), "JPEG-LS pictures (transfer syntax 1.2.840.10008.1.2.4.80)"),
        (text.path().to_owned(), "is no DICOM file"),
    ] {
        let cart = cart(&path, NO_PAGE);
        let refused = cart.refused().unwrap();
        let checked = cart.run("check").unwrap();
        assert!(refused.contains(words), "{refused}");
        assert!(!checked.success && checked.stderr.contains(words), "{checked:?}");
    }
}

#[test]
fn the_daemon_says_nothing_of_the_patient() {
    let Some(folder) = folder() else { return };
    let assert_none = |what: &str, bytes: &[u8]| {
        for text in PLANTED {
            let is_in = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!is_in, "{text} stands in {what}");
        }
    };
    for name in ["slow", "h264_slow"] {
        let port = free_port().unwrap();
        let path = files::file(&folder, name);
        let cart = cart_at(&path, true, &format!("http = {{ listen = \"127.0.0.1:{port}\" }}"));
        let checked = cart.run("check").unwrap();
        assert_none("check", format!("{checked:?}").as_bytes());
        let mut command = cart.command("run").unwrap();
        command.env("RUST_LOG", "trace").env("GST_DEBUG", "3");
        // It answers until it ends.
        let asked = std::thread::spawn(move || {
            let status = wait_for("the page", || request(port, "GET", "/status", "")).unwrap();
            [status, request(port, "GET", "/metrics", "").unwrap_or_default()].concat()
        });
        let ended = run(&mut command).unwrap();
        assert_none("/status or /metrics", &asked.join().unwrap());
        assert!(ended.success, "{}", ended.stderr);
        assert_none("the log", format!("{}{}", ended.stdout, ended.stderr).as_bytes());
        for entry in fs::read_dir(cart.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_none(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_paced_cine_takes_its_time() {
    let Some(folder) = folder() else { return };
    let port = free_port().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "file", path = '{}', paced = true }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        sinks = [{{ kind = "null" }}]
        "#,
        files::file(&folder, "slow").display()
    ))
    .unwrap();
    let running = cart.start().unwrap();
    wait_for("frames", || status(port).filter(|status| status["frames_in"].as_u64() > Some(0))).unwrap();
    let begun = std::time::Instant::now();
    let ended = running.end().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert!(begun.elapsed().as_millis() >= 1000, "6 frames of 400 ms took {:?}", begun.elapsed());
}

//! The reader alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nervelight_cine::{Cine, Content, Picture};
use nervelight_tests::proof::{count, row};

use super::files::{self, FRAMES, HEIGHT, PLANTED, WIDTH, file, folder, raw};

const PIXELS: usize = WIDTH * HEIGHT;

fn decoded(path: &Path) -> Vec<Picture> {
    let mut cine = Cine::open(path).unwrap();
    let read = |n| {
        let mut picture = Picture::default();
        cine.read(n, &mut picture).unwrap();
        picture
    };
    (0..FRAMES as u32).map(read).collect()
}

/// The largest difference between luma and what others decode.
fn off(pictures: &[Picture], luma: impl Fn(usize) -> u8) -> u8 {
    let all = pictures.iter().flat_map(|picture| &picture.luma).enumerate();
    all.map(|(i, value)| value.abs_diff(luma(i))).max().unwrap()
}

#[test]
fn every_grey_syntax_is_read_as_others_read_it() {
    let Some(folder) = folder() else { return };
    for (name, most) in [
        ("grey", 0),
        ("implicit", 0),
        ("inverted", 0),
        ("smooth", 0),
        ("vector", 0),
        ("palette", 0),
        ("rle", 0),
        ("jpeg_lossless", 0),
        ("jpeg_lossless_14", 0),
        ("fragments", 0),
        ("fragments_untold", 0),
        ("extended_table", 0),
        ("jpeg", 1),
        ("jpeg_extended", 1),
    ] {
        let (pictures, raw) = (decoded(&file(&folder, name)), raw(&folder, name));
        assert_eq!(raw.len(), FRAMES * PIXELS, "{name}");
        let off = off(&pictures, |i| raw[i]);
        assert!(off <= most, "{name}: off by {off}");
        let has_colour = name == "palette";
        assert!(pictures.iter().all(|picture| picture.chroma[0].is_empty() != has_colour), "{name}");
    }
    let mut single = Cine::open(&file(&folder, "single")).unwrap();
    let mut picture = Picture::default();
    single.read(0, &mut picture).unwrap();
    assert_eq!(picture.luma, raw(&folder, "single"));
    assert!(single.read(1, &mut picture).unwrap_err().to_string().contains("has no frame 2; it has 1"));
}

#[test]
fn every_colour_syntax_is_read_as_others_read_it() {
    let Some(folder) = folder() else { return };
    // In full-range BT.601, in floating point.
    let luma = |rgb: &[u8]| 0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2]);
    for (name, most) in
        [("rgb", 0), ("rgb_planar", 0), ("rle_rgb", 0), ("jpeg_lossless_rgb", 0), ("jpeg_rgb", 3)]
    {
        let (pictures, raw) = (decoded(&file(&folder, name)), raw(&folder, name));
        let off = off(&pictures, |i| luma(&raw[3 * i..3 * i + 3]).round() as u8);
        assert!(off <= most, "{name}: off by {off}");
        assert!(pictures.iter().all(|picture| picture.chroma[1].len() == PIXELS), "{name}");
    }
    // These hold luma already.
    let colours = raw(&folder, "rgb");
    for name in ["ybr", "ybr_422"] {
        let pictures = decoded(&file(&folder, name));
        assert_eq!(off(&pictures, |i| colours[3 * i]), 0, "{name}");
        // Chroma is shared by two columns there.
        let of = |i: usize| if name == "ybr" { i } else { i & !1 };
        for (n, picture) in pictures.iter().enumerate() {
            for (k, plane) in picture.chroma.iter().enumerate() {
                assert!((0..PIXELS).all(|i| plane[i] == colours[3 * (n * PIXELS + of(i)) + 1 + k]), "{name}");
            }
        }
    }
}

#[test]
fn deep_greys_become_eight_bits_by_one_rule() {
    let Some(folder) = folder() else { return };
    let greys = raw(&folder, "grey");
    let deep = |i: usize| f64::from(greys[i]) * 16.0 + 5.0;
    for name in ["twelve", "rle_twelve", "jpeg_lossless_twelve"] {
        let pictures = decoded(&file(&folder, name));
        assert_eq!(off(&pictures, |i| (deep(i) / 4095.0 * 255.0).round() as u8), 0, "{name}");
    }
    let window = decoded(&file(&folder, "window"));
    let shown = |i| ((deep(i) - 2047.5) / 1023.0 + 0.5).clamp(0.0, 1.0) * 255.0;
    assert_eq!(off(&window, |i| shown(i).round() as u8), 0);
}

#[test]
fn times_regions_and_spacing_are_found() {
    let Some(folder) = folder() else { return };
    let facts = Cine::open(&file(&folder, "grey")).unwrap().facts().clone();
    assert_eq!((facts.width, facts.height, facts.frames), (WIDTH as u32, HEIGHT as u32, FRAMES as u32));
    assert_eq!(facts.times.start(3), Duration::from_millis(75));
    assert_eq!(facts.spacing, Some([0.125, 0.125]), "0.0125 cm");
    let [region] = facts.regions[..] else { panic!("{facts:?}") };
    assert_eq!((region.x, region.y, region.width, region.height), (0, 0, WIDTH as u32, HEIGHT as u32));
    let vector = Cine::open(&file(&folder, "vector")).unwrap().facts().times.clone();
    assert_eq!([vector.start(1), vector.start(2)], [25, 55].map(Duration::from_millis));
    let subject = |name| Cine::open(&file(&folder, name)).unwrap().facts().subject.unwrap();
    assert!(subject("grey") == subject("rle") && subject("grey") != subject("implicit"));
    for (name, bytes) in [("h264", &[0, 0, 0, 1][..]), ("h264_mp4", b"ftyp"), ("h264_ts", &[0x47])] {
        let cine = Cine::open(&file(&folder, name)).unwrap();
        assert!(matches!(cine.content(), Content::Video(_)));
        let mut stream = vec![];
        std::io::Read::read_to_end(&mut cine.into_video().unwrap(), &mut stream).unwrap();
        assert!(stream[..12].windows(bytes.len()).any(|window| window == bytes), "{name}");
    }
}

#[test]
fn what_is_not_read_is_named_with_its_remedy() {
    let Some(folder) = folder() else { return };
    for (name, words) in [
        ("jpeg_ls", ["JPEG-LS pictures (transfer syntax 1.2.840.10008.1.2.4.80)", "dcmdjpls"]),
        ("big_endian", ["1.2.840.10008.1.2.2", "dcmconv +te"]),
        ("deflated", ["1.2.840.10008.1.2.1.99", "dcmconv +te"]),
    ] {
        let error = Cine::open(&file(&folder, name)).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.contains(name), "{error}");
    }
}

#[test]
fn nothing_of_the_patient_comes_out() {
    let Some(folder) = folder() else { return };
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let broken = tempfile::NamedTempFile::new().unwrap();
    for name in ["grey", "implicit", "rgb", "rle", "jpeg", "h264"] {
        let path = file(&folder, name);
        let bytes = fs::read(&path).unwrap();
        assert!(PLANTED.iter().all(|text| holds(&bytes, text)), "{name}: nothing is planted");
        let mut cine = Cine::open(&path).unwrap();
        let mut said = format!("{:?}", cine.facts());
        if cine.content() == Content::Frames {
            let mut picture = Picture::default();
            cine.read(0, &mut picture).unwrap();
            said += &format!("{picture:?}");
        }
        // What damage makes it say.
        for at in (128..bytes.len().min(300_000)).step_by(if name == "grey" { 397 } else { 3999 }) {
            let mut bad = bytes.clone();
            bad[at..at + 4].copy_from_slice(&[0xff, 0, 0xfe, 0x80]);
            let end = if at % 2 == 0 { bad.len().min(at + 300_000) } else { at + 4 };
            fs::write(broken.path(), &bad[..end]).unwrap();
            said += &said_of(broken.path());
        }
        for text in PLANTED {
            assert!(!said.contains(text), "{name} says {text}");
        }
    }
}

/// All that opening and reading a file gives.
fn said_of(path: &Path) -> String {
    match Cine::open(path) {
        Err(error) => format!("{error} {error:?}"),
        Ok(mut cine) => {
            let last = cine.facts().frames - 1;
            let read = cine.read(last, &mut Picture::default());
            format!("{:?} {:?}", cine.facts(), read.map_err(|error| format!("{error} {error:?}")))
        }
    }
}

#[test]
fn of_a_file_that_was_cut_off_whole_frames_are_read() {
    let Some(folder) = folder() else { return };
    for name in ["grey", "rle", "jpeg_lossless", "fragments", "fragments_untold"] {
        let bytes = fs::read(file(&folder, name)).unwrap();
        let whole = decoded(&file(&folder, name));
        let cut = tempfile::NamedTempFile::new().unwrap();
        fs::write(cut.path(), &bytes[..bytes.len() * 2 / 3]).unwrap();
        let mut cine = Cine::open(cut.path()).unwrap();
        let facts = cine.facts().clone();
        assert!(facts.is_cut && (2..=4).contains(&facts.frames), "{name}: {facts:?}");
        assert_eq!(facts.stated_frames, FRAMES as u32);
        let mut picture = Picture::default();
        for n in 0..facts.frames {
            cine.read(n, &mut picture).unwrap();
            assert_eq!(picture, whole[n as usize], "{name}, frame {n}");
        }
        fs::write(cut.path(), &bytes[..220_000.min(bytes.len() / 8)]).unwrap();
        let error = Cine::open(cut.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }
}

/// Where the first element of this tag and kind begins.
fn element(bytes: &[u8], head: &[u8; 6]) -> usize {
    bytes.windows(6).position(|window| window == head).unwrap()
}

/// A file like `bytes` with `frames` black frames, which take no room on the disk.
fn long(bytes: &[u8], frames: usize) -> tempfile::NamedTempFile {
    let number = element(bytes, b"\x28\0\x08\0IS");
    // An icon's come before.
    let pixels = bytes.windows(6).rposition(|window| window == b"\xe0\x7f\x10\0OB").unwrap();
    let mut head = bytes[..number + 6].to_vec();
    let count = format!("{frames:<6}");
    head.extend([&(count.len() as u16).to_le_bytes(), count.as_bytes()].concat());
    // Its old value is two bytes long.
    head.extend(&bytes[number + 10..pixels + 8]);
    head.extend(((frames * PIXELS) as u32).to_le_bytes());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &head).unwrap();
    file.as_file().set_len((head.len() + frames * PIXELS) as u64).unwrap();
    file
}

#[test]
fn proof_a_long_cine_takes_the_memory_of_one_frame() {
    let Some(folder) = folder() else { return };
    let frames = count(500, 5000) as usize;
    let file = long(&fs::read(files::file(&folder, "grey")).unwrap(), frames);
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = peak();
    let mut cine = Cine::open(file.path()).unwrap();
    assert_eq!(cine.facts().frames as usize, frames);
    let mut picture = Picture::default();
    for n in 0..frames as u32 {
        cine.read(n, &mut picture).unwrap();
        assert!(picture.luma.len() == PIXELS && picture.luma[PIXELS / 2] == 0);
    }
    let grown = peak() - before;
    row("memory of a DICOM cine", format!("{frames} frames, {grown} KiB"), "4096 KiB").unwrap();
    assert!(grown < 4096, "{grown} KiB for {frames} frames");
}

#[test]
fn proof_damage_anywhere_is_an_error_and_never_a_panic() {
    let Some(folder) = folder() else { return };
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let most = count(150, 5000);
    let broken = tempfile::NamedTempFile::new().unwrap();
    for name in
        ["grey", "palette", "rle", "rle_rgb", "jpeg", "jpeg_rgb", "jpeg_lossless", "fragments", "h264"]
    {
        let good = fs::read(file(&folder, name)).unwrap();
        let head = 230_000.min(good.len());
        for _ in 0..most / 9 {
            let mut bad = good.clone();
            for _ in 0..1 + random() % 8 {
                // Most in the attributes near the pixel data and in the first frame.
                let at = random() % if random() % 2 == 0 { head } else { bad.len() };
                bad[at] = random() as u8;
            }
            fs::write(broken.path(), &bad).unwrap();
            let _ = said_of(broken.path());
        }
    }
}

#[test]
fn bombs_are_refused_without_their_memory() {
    let Some(folder) = folder() else { return };
    let bytes = fs::read(files::file(&folder, "rle")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let with = |head: &[u8; 6], value: &[u8]| {
        let at = element(&bytes, head);
        let mut bomb = bytes.clone();
        bomb[at + 8..][..value.len()].copy_from_slice(value);
        fs::write(file.path(), bomb).unwrap();
        said_of(file.path())
    };
    let big = with(b"\x28\0\x10\0US", &[0xff, 0xff]);
    assert!(big.contains("at most"), "65535 rows: {big}");
    let wide = with(b"\x28\0\x11\0US", &[0x00, 0xc0]);
    assert!(wide.contains("damaged") && !wide.contains("PLANTED"), "49152 columns of RLE for 580: {wide}");
    let none = with(b"\x28\0\x10\0US", &[0, 0]);
    assert!(none.contains("0 for its rows"), "{none}");
    for (head, words) in [
        (&b"not a DICOM file"[..], "is no DICOM file"),
        (b"", "is no DICOM file"),
        (&[&[0; 128][..], b"DICM"].concat(), "does not say its transfer syntax"),
        (&[&[0; 128][..], b"DICM", &[0xff; 2000]].concat(), "does not say its transfer syntax"),
    ] {
        fs::write(file.path(), head).unwrap();
        let said = said_of(file.path());
        assert!(said.contains(words), "{said}");
    }
}

//! A given grey reaches the engine as that grey, and leaves as it came, in whatever format and range it is sent.
#![allow(clippy::unwrap_used)]

use std::fs;

use nervelight_engines::bundle::{Draft, Manifest};
use nervelight_engines::golden::Golden;
use nervelight_engines::{HEIGHT, WIDTH, plane};
use nervelight_tests::video::decode;
use nervelight_tests::{Cart, root};

/// Every grey has a square of so many pixels.
const SQUARE: usize = 16;

/// A model that takes for nerve what is bright: a map is its own crop.
fn identity(cart: &Cart) {
    let model = fs::read(root().join("engines/tests/fixtures/identity.onnx")).unwrap();
    let mut draft = Draft::new(Manifest { min_area: 0, ..Manifest::new("identity", "1") });
    draft.file("fp32.onnx", model);
    let mut crop = plane();
    crop.iter_mut().enumerate().for_each(|(i, p)| *p = (i % 251) as u8);
    draft.golden(&Golden { name: "0".into(), map: crop.clone(), crop }).unwrap();
    draft.write(&cart.path("identity.bundle")).unwrap();
}

/// The code that stands at a pixel: all from 0 to 255, or from 16 to 235, one after the other.
fn code(x: usize, y: usize, limited: bool) -> u8 {
    let square = y / SQUARE * (WIDTH / SQUARE) + x / SQUARE;
    if limited { 16 + (square % 220) as u8 } else { (square % 256) as u8 }
}

/// The grey that a code stands for (ITU-R BT.601, 2.5.1).
fn grey(code: u8, limited: bool) -> u8 {
    if limited { ((f64::from(code) - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0) as u8 } else { code }
}

/// A raw frame of `format`.
fn frame(format: &str, limited: bool) -> Vec<u8> {
    let codes = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| code(x, y, limited)));
    let wide = |value: u16, times: usize| value.to_le_bytes().repeat(times);
    let quarter = WIDTH * HEIGHT / 4;
    match format {
        "I420" | "NV12" => codes.chain([128].repeat(2 * quarter)).collect(),
        "YUY2" => codes.flat_map(|code| [code, 128]).collect(),
        "RGB" => codes.flat_map(|code| [code; 3]).collect(),
        "BGRx" => codes.flat_map(|code| [code, code, code, 0]).collect(),
        "GRAY8" => codes.collect(),
        "I420_10LE" => {
            let luma = codes.flat_map(|code| (4 * u16::from(code)).to_le_bytes());
            luma.chain(wide(512, 2 * quarter)).collect()
        }
        "P010_10LE" => {
            let luma = codes.flat_map(|code| (u16::from(code) << 8).to_le_bytes());
            luma.chain(wide(512 << 6, 2 * quarter)).collect()
        }
        _ => panic!("{format} is none of the formats"),
    }
}

/// Sends every grey in `format`; `full` and `limited` are its colorimetries.
fn assert_kept(format: &str, full: &str, limited: &str) {
    let nick = format.to_lowercase().replace('_', "-");
    for (colorimetry, is_limited) in [(full, false), (limited, true)] {
        for threshold in [40_u8, 201] {
            // Less than this grey and more than the one before, however the figure is rounded.
            let probability = (f64::from(threshold) - 0.3) / 255.0;
            let cart = Cart::new(&format!(
                r#"
                model = {{ bundle = "identity.bundle" }}
                engine = {{ backend = "onnx" }}
                sync = {{ mode = "exact", engine_timeout_ms = 60000 }}
                overlay = {{ threshold = {probability:.5}, min_area = 0, outline = false, opacity = 1.0 }}
                http = {{ enabled = false }}
                [source]
                kind = "pipeline"
                live = false
                pipeline = """filesrc location=frames.raw ! rawvideoparse format={nick} width={WIDTH} \
                    height={HEIGHT} framerate=10/1 \
                    ! capssetter caps=video/x-raw,colorimetry=(string){colorimetry}"""
                [[sinks]]
                kind = "file"
                path = "out.mkv"
                encoder = "x264enc pass=quant quantizer=0 speed-preset=ultrafast"
                "#
            ))
            .unwrap();
            identity(&cart);
            fs::write(cart.path("frames.raw"), frame(format, is_limited).repeat(2)).unwrap();
            let mut command = cart.command("run").unwrap();
            let ended = nervelight_tests::run(command.current_dir(cart.dir.path())).unwrap();
            assert!(ended.success, "{format} {colorimetry}: {}", ended.stderr);
            let pictures = decode(&cart.path("out.mkv")).unwrap();
            assert_eq!(pictures.len(), 2, "{format} {colorimetry}: {}", ended.stderr);
            let picture = &pictures[1];
            for y in (SQUARE / 2..HEIGHT).step_by(SQUARE) {
                for x in (SQUARE / 2..WIDTH).step_by(SQUARE) {
                    let sent = grey(code(x, y, is_limited), is_limited);
                    let luma = picture.luma[y * WIDTH + x];
                    let left = grey(luma, !picture.full_range);
                    assert_eq!(left, sent, "{format} {colorimetry}: luma {luma} left at {x},{y}");
                    let is_nerve = picture.is_tinted(x, y);
                    assert_eq!(is_nerve, left >= threshold, "{format} {colorimetry}: {left} as {threshold}");
                }
            }
        }
    }
}

#[test]
fn i420() {
    assert_kept("I420", "1:4:0:0", "2:4:0:0");
}

#[test]
fn nv12() {
    assert_kept("NV12", "1:4:0:0", "bt709");
}

#[test]
fn yuy2() {
    assert_kept("YUY2", "1:4:0:0", "2:4:0:0");
}

#[test]
fn rgb() {
    assert_kept("RGB", "sRGB", "2:1:0:0");
    assert_kept("BGRx", "1:1:0:0", "2:1:7:1");
}

#[test]
fn gray() {
    assert_kept("GRAY8", "1:4:0:0", "2:4:0:0");
}

#[test]
fn ten_bits_planar() {
    assert_kept("I420_10LE", "1:4:0:0", "bt709");
}

#[test]
fn ten_bits_interleaved() {
    assert_kept("P010_10LE", "1:4:0:0", "2:4:0:0");
}

//! The ultrasound picture is found in a screen grab, and held.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use nervelight_tests::screen::{Clip, Screen};
use nervelight_tests::video::decode;
use nervelight_tests::{Cart, Ended};

const SIZE: (usize, usize) = (1920, 1080);
const FPS: u32 = 8;
const NOWHERE: &str = "{ kind = \"null\" }";
const RECORDING: &str = "{ kind = \"file\", path = \"out.mkv\", \
     encoder = \"x264enc pass=quant quantizer=0 speed-preset=ultrafast\" }";

/// A part of a clip: seconds, and the scan's corner and magnification, or none while it is frozen.
type Part = (u64, Option<([usize; 2], f64)>);

/// Writes a clip of a screen with a clock and a cursor; returns the screen as it was at the end.
fn clip(path: &Path, parts: &[Part]) -> Screen {
    let mut screen = Screen::new(SIZE.0, SIZE.1, 5);
    let mut clip = Clip::new(path, SIZE.0, SIZE.1, FPS).unwrap();
    let (mut n, mut frame) = (0, 0);
    for (seconds, scan) in parts {
        if scan.is_some() {
            screen.clear([0, 128, 128]);
        }
        for _ in 0..seconds * u64::from(FPS) {
            if let Some((corner, scale)) = scan {
                // A slow hand: the phantom's clips have 30 frames a second.
                n += 3;
                screen.scan(n, *corner, *scale).unwrap();
            }
            frame += 2;
            screen.interface(frame);
            clip.push(&screen).unwrap();
        }
    }
    clip.finish().unwrap();
    screen
}

fn cart(region: &str, sink: &str) -> Cart {
    Cart::new(&format!(
        r#"
        region = {region}
        source = {{ kind = "file", path = "clip.mkv" }}
        model = {{ bundle = "BUNDLE" }}
        sync = {{ mode = "exact", engine_timeout_ms = 60000 }}
        overlay = {{ outline = false }}
        http = {{ enabled = false }}
        report = {{ path = "report.json" }}
        sinks = [{sink}]
        "#
    ))
    .unwrap()
}

/// Left, top, right and bottom of each place that the log names.
fn places(ended: &Ended) -> Vec<[usize; 4]> {
    let found = ended.stderr.lines().filter(|line| line.contains("the ultrasound picture was found"));
    let number = |line: &str, key: &str| {
        let (_, rest) = line.split_once("sector").unwrap();
        let (_, rest) = rest.split_once(key).unwrap();
        rest.split(|c: char| !c.is_ascii_digit())
            .find(|text| !text.is_empty())
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    found
        .map(|line| {
            let [x, y, width, height] = ["x:", "y:", "width:", "height:"].map(|key| number(line, key));
            [x, y, x + width, y + height]
        })
        .collect()
}

#[test]
fn it_is_found_held_while_frozen_and_followed_when_the_layout_changes() {
    let cart = cart("\"auto\"", NOWHERE);
    let (first, second) = (([700, 300], 1.0), ([140, 160], 1.5));
    clip(&cart.path("clip.mkv"), &[(4, Some(first)), (3, None), (2, Some(first)), (7, Some(second))]);
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let found = places(&ended);
    assert_eq!(found.len(), 2, "{found:?}");
    for (found, is) in found.iter().zip([[700, 300, 1280, 720], [140, 160, 1010, 790]]) {
        let off = found.iter().zip(is).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        println!("{found:?} for {is:?}: {off} pixels off");
        assert!(off <= 24, "{found:?} for {is:?}");
    }
    let report = cart.report().unwrap();
    let crop = &report["sector"]["crop"];
    assert_eq!(
        (&crop["width"], &crop["height"], &report["sector"]["scale"]),
        (&576.into(), &416.into(), &1.0.into())
    );
    let middle = crop["x"].as_u64().unwrap() + 288;
    assert!(middle.abs_diff(575) <= 12, "{crop}");
}

#[test]
fn a_scaled_crop_shows_its_mask_where_the_nerve_is() {
    let cart = cart("{ auto = true, scale = true, spacing_mm = [0.05, 0.05] }", RECORDING);
    let screen = clip(&cart.path("clip.mkv"), &[(5, Some(([300, 60], 2.0)))]);
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let sector = &cart.report().unwrap()["sector"];
    let scale = sector["scale"].as_f64().unwrap();
    assert!((scale - 2.0).abs() < 0.06, "{sector}");
    assert!((sector["spacing_mm"][0].as_f64().unwrap() - 0.05 * scale).abs() < 1e-6, "{sector}");
    let pictures = decode(&cart.path("out.mkv")).unwrap();
    let last = pictures.last().unwrap();
    let (mut both, mut sum) = (0, 0);
    for (x, y) in (100..SIZE.1 - 100).flat_map(|y| (100..SIZE.0 - 100).map(move |x| (x, y))) {
        let (tinted, nerve) = (last.is_tinted(x, y), screen.is_nerve(x, y));
        both += usize::from(tinted && nerve);
        sum += usize::from(tinted) + usize::from(nerve);
    }
    let dice = 2.0 * both as f64 / sum as f64;
    assert!(dice > 0.7, "Dice of what is tinted on the screen: {dice:.3}");
}

#[test]
fn mistakes_are_named() {
    for (region, word) in [
        ("\"automatic\"", "\"region\" is \"auto\" or a table"),
        ("{ auto = true, x = 10 }", "region.x: has no meaning with region.auto"),
        ("{ scale = true }", "region.scale: needs region.auto = true"),
        ("{ auto = true, scale = true }", "region.spacing_mm: is missing"),
        ("{ auto = true, spacing_mm = [0.0, 1.0] }", "region.spacing_mm: must be two numbers"),
        ("{ wrong = 1 }", "wrong"),
    ] {
        let said = cart(region, NOWHERE).refused().unwrap();
        assert!(said.contains(word), "{region}: {said}");
    }
}

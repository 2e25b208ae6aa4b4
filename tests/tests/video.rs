//! The main job: every frame comes out, with its own mask where the nerve is and the echo texture
//! as it was.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use nervelight_phantom::{HEIGHT, Phantom, WIDTH};
use nervelight_tests::Cart;
use nervelight_tests::video::{Picture, decode};

const SEED: u64 = 7;
/// Luma of #ffd000 by BT.601, full range.
const OUTLINE: u8 = 198;

/// Phantom to a lossless file. `x264enc` at quantizer 0 is bit-exact.
fn cart(frames: u64, more: &str) -> Cart {
    Cart::new(&format!(
        r#"
        [source]
        kind = "phantom"
        seed = {SEED}
        frames = {frames}
        paced = false
        [model]
        bundle = "BUNDLE"
        [http]
        enabled = false
        [report]
        path = "report.json"
        [[sinks]]
        kind = "file"
        path = "out.mkv"
        encoder = "x264enc pass=quant quantizer=0 speed-preset=ultrafast"
        {more}
        "#
    ))
    .unwrap()
}

#[test]
fn every_frame_carries_its_own_mask_and_keeps_its_luma() {
    let cart = cart(60, "[sync]\nmode = \"exact\"\nengine_timeout_ms = 60000");
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);

    let pictures = decode(&cart.path("out.mkv")).unwrap();
    assert_eq!(pictures.len(), 60);
    assert!(pictures.is_sorted_by(|a, b| a.pts < b.pts), "PTS increase");
    let mut phantom = Phantom::new(SEED);
    let (mut luma, mut truth) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
    let (mut dice_sum, mut nerves) = (0.0, 0);
    for (n, picture) in pictures.iter().enumerate() {
        assert_eq!((picture.width, picture.height, picture.full_range), (WIDTH, HEIGHT, true));
        phantom.frame(n as u64, &mut luma, &mut truth).unwrap();
        let tinted: Vec<bool> =
            (0..WIDTH * HEIGHT).map(|i| picture.is_tinted(i % WIDTH, i / WIDTH)).collect();
        // Luma differs only where the outline's own luma stands, inside the tint.
        let changed: Vec<usize> = (0..WIDTH * HEIGHT).filter(|&i| picture.luma[i] != luma[i]).collect();
        assert!(changed.iter().all(|&i| tinted[i] && picture.luma[i] == OUTLINE), "luma of frame {n}");
        let area = tinted.iter().filter(|&&t| t).count();
        assert!(changed.len() * 8 < area || area == 0, "{} of {area} pixels are no thin line", changed.len());
        if truth.iter().any(|&t| t > 0) {
            let both = (0..WIDTH * HEIGHT).filter(|&i| tinted[i] && truth[i] > 0).count();
            let sum = (0..WIDTH * HEIGHT)
                .map(|i| usize::from(tinted[i]) + usize::from(truth[i] > 0))
                .sum::<usize>();
            dice_sum += 2.0 * both as f64 / sum as f64;
            nerves += 1;
        }
    }
    assert!(nerves > 30, "the phantom shows a nerve in {nerves} frames");
    let dice = dice_sum / f64::from(nerves);
    assert!(dice >= 0.8, "Dice of the tinted area is {dice:.3}");

    let report = cart.report().unwrap();
    let figure = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} in {report:#}"));
    assert_eq!((figure("frames_in"), figure("frames_out"), figure("dropped")), (60.0, 60.0, 0.0));
    assert!((figure("dice") - dice).abs() < 0.05, "the report says {}, the video {dice}", figure("dice"));
    for key in ["engine_ms", "latency_ms"] {
        let quantiles = ["p50", "p95", "p99", "max"].map(|q| report[key][q].as_f64().unwrap());
        assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{key}: {quantiles:?}");
    }
}

#[test]
fn without_overlay_the_video_passes_bit_for_bit() {
    let cart = cart(10, "[overlay]\nenabled = false");
    assert!(cart.run("run").unwrap().success);
    let pictures = decode(&cart.path("out.mkv")).unwrap();
    assert_eq!(pictures.len(), 10);
    let mut phantom = Phantom::new(SEED);
    let (mut luma, mut truth) = (vec![0; WIDTH * HEIGHT], vec![0; WIDTH * HEIGHT]);
    for (n, picture) in pictures.iter().enumerate() {
        phantom.frame(n as u64, &mut luma, &mut truth).unwrap();
        assert!(picture.luma == luma, "frame {n}");
        assert!(picture.chroma.iter().flatten().all(|&c| c == 128), "frame {n}");
    }
}

/// Mean difference of the tinted pixels of two pictures, as part of those tinted in either.
fn tint_differs(a: &Picture, b: &Picture) -> f64 {
    let tints = |p: &Picture| -> Vec<bool> {
        (0..WIDTH * HEIGHT).map(|i| p.is_tinted(i % WIDTH, i / WIDTH)).collect()
    };
    let (a, b) = (tints(a), tints(b));
    let either = a.iter().zip(&b).filter(|(a, b)| **a || **b).count();
    a.iter().zip(&b).filter(|(a, b)| a != b).count() as f64 / either.max(1) as f64
}

/// The daemon over a file, to a lossless one.
fn annotate(source: &Path, more: &str) -> (Cart, Vec<Picture>) {
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "file", path = "{}" }}
        model = {{ bundle = "BUNDLE" }}
        sync = {{ mode = "exact", engine_timeout_ms = 60000 }}
        http = {{ enabled = false }}
        report = {{ path = "report.json" }}
        [[sinks]]
        kind = "file"
        path = "out.mkv"
        encoder = "x264enc pass=quant quantizer=0 speed-preset=ultrafast"
        {more}
        "#,
        source.display()
    ))
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let pictures = decode(&cart.path("out.mkv")).unwrap();
    (cart, pictures)
}

#[test]
fn the_same_frames_give_the_same_masks_however_a_file_stores_luma() {
    let clip = cart(8, "[overlay]\nenabled = false");
    assert!(clip.run("run").unwrap().success);
    let full = clip.path("out.mkv");
    let (reference_cart, reference) = annotate(&full, "");
    assert_eq!(reference_cart.report().unwrap()["frames_out"], 8);
    let times = |pictures: &[Picture]| pictures.iter().map(|p| p.pts / 1_000_000).collect::<Vec<_>>();
    assert_eq!(times(&decode(&full).unwrap()), times(&reference), "PTS are kept");

    let dir = tempfile::tempdir().unwrap();
    let before = decode(&full).unwrap();
    // Name, what ffmpeg is told, whether luma passes unchanged at full range.
    let stored: [(&str, &[&str], bool); 4] = [
        (
            "limited.mkv",
            &["-vf", "scale=out_range=limited", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0"],
            false,
        ),
        ("unknown.mkv", &["-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=2"], true),
        ("gray.mkv", &["-pix_fmt", "gray", "-c:v", "ffv1"], true),
        ("gray.mp4", &["-pix_fmt", "gray", "-c:v", "libx264", "-qp", "0"], true),
    ];
    for (name, options, is_full) in stored {
        let path = dir.path().join(name);
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(&full).args(options).arg(&path);
        assert!(ffmpeg.status().unwrap().success(), "{name}");
        let (_cart, pictures) = annotate(&path, "");
        assert_eq!(pictures.len(), 8, "{name}");
        for (n, (picture, reference)) in pictures.iter().zip(&reference).enumerate() {
            let differs = tint_differs(picture, reference);
            assert!(differs < 0.1, "{name}: {differs:.3} of the mask of frame {n} is another");
            assert_eq!(picture.full_range, is_full, "{name}");
            let same = |i: usize| picture.luma[i] == before[n].luma[i] || picture.luma[i] == OUTLINE;
            let changed = (0..WIDTH * HEIGHT).filter(|&i| !same(i)).count();
            assert!(!is_full || changed == 0, "{name}: luma of {changed} pixels of frame {n} changed");
        }
    }
}

#[test]
fn odd_sizes_are_recorded() {
    let cart = Cart::new(
        r#"
        source = { kind = "pipeline", live = false, pipeline = "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=581,height=421" }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        sinks = [{ kind = "file", path = "out.mp4" }]
        "#,
    )
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let pictures = decode(&cart.path("out.mp4")).unwrap();
    assert_eq!((pictures.len(), pictures[0].width, pictures[0].height), (3, 582, 422));
    // The last row and column once more; videotestsrc has no black in the columns looked at.
    for Picture { width, luma, chroma, .. } in &pictures {
        let at = |x: usize, y: usize| luma[y * width + x];
        for y in 0..200 {
            assert!(at(581, y).abs_diff(at(580, y)) < 12, "row {y}: {} {}", at(580, y), at(581, y));
            assert!(at(581, y) > 30, "row {y} ends black");
        }
        let black = (0..400).filter(|x| at(*x, 421).abs_diff(at(*x, 420)) > 12).count();
        assert_eq!(black, 0, "columns that end in another shade");
        assert_eq!(chroma[0].len(), 291 * 211);
    }
}

#[test]
fn only_the_region_of_a_large_frame_is_touched() {
    let cart = Cart::new(
        r#"
        source = { kind = "pipeline", live = false, pipeline = "videotestsrc num-buffers=3 pattern=black ! video/x-raw,format=NV12,width=1280,height=720,framerate=30/1" }
        model = { bundle = "BUNDLE" }
        sync = { mode = "exact", engine_timeout_ms = 60000 }
        region = { x = 600, y = 300 }
        overlay = { threshold = 0.004 }
        http = { enabled = false }
        [[sinks]]
        kind = "file"
        path = "out.mkv"
        encoder = "x264enc pass=quant quantizer=0"
        "#,
    )
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let pictures = decode(&cart.path("out.mkv")).unwrap();
    assert_eq!((pictures.len(), pictures[0].width, pictures[0].height), (3, 1280, 720));
    for picture in &pictures {
        for (i, &luma) in picture.luma.iter().enumerate() {
            let (x, y) = (i % 1280, i / 1280);
            let inside = (600..600 + 576).contains(&x) && (300..300 + 416).contains(&y);
            assert!(inside || (luma == 16 && !picture.is_tinted(x, y)), "touched at {x},{y}");
        }
    }
}

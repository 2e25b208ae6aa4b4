//! A recording in many files, and what their sidecars say.

use std::time::SystemTime;

use nervelight_engines::{EngineInfo, Precision};
use serde_json::Value;

use super::*;
use crate::config::SegmentLimits;
use crate::frame::{Model, NerveSize, Sector};

const NERVE: NerveSize = NerveSize { width_mm: 12.5, area_mm2: 40.0, depth_mm: 8.0 };

impl Bench {
    fn cut(&self, name: &str, seconds: u64, encoder: Option<&str>) -> Box<dyn Sink> {
        let segment = SegmentLimits { length: Some(Duration::from_secs(seconds)), bytes: None };
        let (path, encoder) = (self.path(name), encoder.map(str::to_owned));
        let settings = FileSettings { path, encoder, segment, ..Default::default() };
        self.open(&config::Sink::File(settings)).unwrap()
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(&format!("{name}.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn model(generation: u64) -> Arc<Model> {
    let engine = EngineInfo {
        runtime: "fake".into(),
        provider: "CPU".into(),
        precision: Precision::Fp32,
        threads: 1,
        model: "fake 1".into(),
        digest: "0a".into(),
    };
    Arc::new(Model { engine, threshold: 128, min_area: 20, generation })
}

#[test]
fn every_unit_is_in_one_file_and_each_begins_with_an_idr() {
    let bench = Bench::new();
    // With B-frames units do not come in the order shown.
    let encoders = [None, Some("x264enc bframes=3 b-adapt=false key-int-max=25")];
    for (encoder, names) in
        encoders.into_iter().zip([["a.mkv", "a-1.mkv", "a-2.mkv"], ["b.mkv", "b-1.mkv", "b-2.mkv"]])
    {
        let mut sink = bench.cut(names[0], 2, encoder);
        (0..130).for_each(|n| push(&mut *sink, &bench.info, n));
        let status = finish(&mut *sink);
        assert_eq!((status.frames, status.dropped, status.failed), (130, 0, None));
        assert!(status.name.ends_with(names[0]), "it is called what is configured: {}", status.name);
        let recorded = status.recorded.unwrap();
        assert_eq!((&*recorded.file, recorded.files, recorded.frames_without_time), (names[2], 3, 0));
        for (name, frames) in names.into_iter().zip([50, 50, 30]) {
            let mut units = units(&bench.path(name));
            assert!(units[0].1, "{name} begins with an IDR");
            units.sort();
            let times: Vec<_> = units.into_iter().map(|unit| unit.0).collect();
            assert_eq!(times, (0..frames).map(|n| 40 * n).collect::<Vec<_>>(), "{name}");
            let lines = bench.lines(name);
            let frames_in_it = lines.iter().filter_map(|line| line.get("frame"));
            let mut said: Vec<_> =
                frames_in_it.map(|frame| frame["pts_us"].as_u64().unwrap() / 1000).collect();
            said.sort();
            assert_eq!(said, times, "{name}");
        }
    }
}

#[test]
fn a_sidecar_says_what_is_true_of_the_frames_when_it_changes() {
    let bench = Bench::new();
    let mut sink = bench.recording("a.mkv");
    let models = [model(1), model(2)];
    let (first, second) = (Some(&models[0]), Some(&models[1]));
    let region = Some(Sector { x: 2, y: 4, width: 576, height: 416 });
    let frames = [
        (OverlayState::Off, None, true),
        (OverlayState::On, first, true),
        (OverlayState::On, first, true),
        (OverlayState::Off, first, false),
        (OverlayState::Off, first, false),
        (OverlayState::Stale, first, true),
        (OverlayState::On, second, true),
        (OverlayState::Disabled, second, true),
    ];
    let arrived = Instant::now();
    for (n, (ai, model, signal)) in frames.into_iter().enumerate() {
        let mut buffer = gst::Buffer::from_mut_slice(vec![128; bench.info.size()]);
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n as u64));
        // A silent source: what came before is written when that is noticed.
        while !signal && bench.lines("a.mkv").iter().filter(|line| line.get("frame").is_some()).count() < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let state = State { ai, signal, picture: SignalState::Ok, nerve: (n == 1).then_some(NERVE), arrived };
        sink.push(Shown {
            buffer: &buffer,
            info: &bench.info,
            state,
            mask: None,
            model,
            region,
            spacing: None,
        });
    }
    assert_eq!(finish(&mut *sink).frames, 6);
    let kind = |line: &Value| {
        let (kind, value) = line.as_object().unwrap().iter().next().unwrap();
        let state = value["state"].as_str().map_or(String::new(), |state| format!(" {state}"));
        format!("{kind}{state}")
    };
    let lines = bench.lines("a.mkv");
    let expected = [
        "recording",
        "region",
        "ai off",
        "frame",
        "model",
        "ai on",
        "frame",
        "frame",
        "signal no_signal",
        "signal ok",
        "ai stale",
        "frame",
        "model",
        "ai on",
        "frame",
        "ai disabled",
        "frame",
        "end",
    ];
    assert_eq!(lines.iter().map(kind).collect::<Vec<_>>(), expected);
    let model = &lines[4]["model"];
    assert_eq!(
        (&model["engine"]["digest"], &model["threshold"], &model["pts_us"]),
        (&"0a".into(), &128.into(), &40_000.into())
    );
    assert_eq!((&lines[1]["region"]["x"], &lines[1]["region"]["y"]), (&2.into(), &4.into()));
    assert_eq!(lines[6]["frame"]["nerve"]["width_mm"], 12.5);
    assert!(lines[3]["frame"].get("nerve").is_none());
    // All of these frames arrived at once.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as u64;
    let captured: Vec<_> = lines.iter().filter_map(|line| line["frame"]["time_us"].as_u64()).collect();
    assert!(
        captured.iter().all(|at| at.abs_diff(now) < 20_000_000 && at.abs_diff(captured[0]) < 100_000),
        "{captured:?}"
    );
    let end = &lines[17]["end"];
    assert_eq!((&end["why"], &end["frames"]), (&"ended".into(), &6.into()));
}

#[test]
fn a_sidecar_of_somebody_else_is_not_written_over() {
    let bench = Bench::new();
    std::fs::write(bench.path("a.mp4.jsonl"), "mine").unwrap();
    let mut sink = bench.recording("a.mp4");
    push(&mut *sink, &bench.info, 0);
    assert!(finish(&mut *sink).name.ends_with("a-1.mp4"));
    assert_eq!(std::fs::read(bench.path("a.mp4.jsonl")).unwrap(), b"mine");
    assert!(!bench.path("a.mp4").exists());
}

#[test]
fn a_next_file_that_cannot_be_opened_ends_the_recording_and_not_the_video() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("disk")).unwrap();
    let mut sink = bench.cut("disk/a.mkv", 1, None);
    (0..20).for_each(|n| push(&mut *sink, &bench.info, n));
    // The file is there under another name: it can be written, and no other.
    std::fs::rename(bench.path("disk"), bench.path("gone")).unwrap();
    let begun = Instant::now();
    let mut pushed = 20;
    while !sink.status().has_failed() && begun.elapsed() < Duration::from_secs(20) {
        push(&mut *sink, &bench.info, pushed);
        pushed += 1;
    }
    let status = finish(&mut *sink);
    let why = status.failed.unwrap();
    assert!(why.contains("removed or replaced") || why.contains("next file cannot be opened"), "{why}");
    assert_eq!(status.frames + status.dropped, pushed);
    assert!(units(&bench.path("gone/a.mkv")).len() >= 20);
}

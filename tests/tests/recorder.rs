//! A recording in many files: every frame is in one of them and in its sidecar, whatever ends the daemon, and the oldest go
//! before there is no room.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use nervelight_tests::video::{Picture, decode};
use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, Signal, free_port, proof, wait_for};
use serde_json::Value;

/// The recordings `first.mp4`, `first-1.mp4`, ... in their order.
fn recordings(folder: &Path, first: &str) -> Vec<PathBuf> {
    let (stem, extension) = first.split_once('.').unwrap();
    let number = |name: &str| match name.strip_suffix(extension)?.strip_suffix('.')?.strip_prefix(stem)? {
        "" => Some(0),
        rest => rest.strip_prefix('-')?.parse::<u64>().ok(),
    };
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeMap<_, _> = names.filter_map(|name| Some((number(&name)?, folder.join(&name)))).collect();
    found.into_values().collect()
}

/// Times in s of the frames that a player shows; panics when it finds fault with the file.
fn times(path: &Path) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries", "frame=best_effort_timestamp_time"])
        .args(["-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect()
}

/// A sidecar's lines; `is_torn` allows the last to be cut off.
fn lines(video: &Path, is_torn: bool) -> Vec<Value> {
    let text = fs::read_to_string(format!("{}.jsonl", video.display())).unwrap();
    let whole = match is_torn {
        true => text.rfind('\n').map_or("", |end| &text[..end]),
        false => text.as_str(),
    };
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn all<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter_map(move |line| line.get(kind))
}

/// Every frame of a file has a line in the sidecar with its time; returns when the last was captured, in us.
fn assert_described(video: &Path, times: &[f64], is_torn: bool) -> u64 {
    let lines = lines(video, is_torn);
    let mut frames: Vec<_> = all(&lines, "frame").collect();
    // They come as they are stored, which with B-frames is another order.
    frames.sort_by_key(|frame| frame["pts_us"].as_u64());
    let what = video.display();
    match is_torn {
        true => assert!(frames.len() >= times.len(), "{what}: {} of {} frames", frames.len(), times.len()),
        false => assert_eq!(frames.len(), times.len(), "{what}"),
    }
    let mut last = 0;
    for (frame, time) in frames.iter().zip(times) {
        let pts = frame["pts_us"].as_u64().unwrap() as f64 / 1e6;
        assert!((pts - time).abs() < 0.0011, "{what}: {frame} is shown at {time}");
        let captured = frame["time_us"].as_u64().unwrap();
        assert!(captured >= last, "{what}: {frame}");
        last = captured;
    }
    last
}

/// A video whose frames have their number in the top row: 16 bits of 16 pixels.
fn counted(path: &Path, frames: u32) {
    let bit = |i: u32| {
        format!("drawbox=x={}:y=0:w=16:h=16:c=white:t=fill:enable='mod(floor(n/{}),2)'", 16 * i, 1 << i)
    };
    let bits: Vec<_> = (0..16).map(bit).collect();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=s=640x480:r=25,drawbox=x=0:y=0:w=256:h=16:c=black:t=fill,{}", bits.join(",")))
        .args([
            "-frames:v",
            &frames.to_string(),
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .arg(path)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

fn number(picture: &Picture) -> u32 {
    let bit = |i: usize| u32::from(picture.luma[8 * picture.width + 16 * i + 8] > 128) << i;
    (0..16).map(bit).sum()
}

#[test]
fn files_hold_every_frame_once_and_are_as_long_and_as_large_as_they_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("counted.mp4");
    counted(&source, 500);
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "file", path = "{}" }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ enabled = false }}
        report = {{ path = "report.json" }}
        overlay = {{ enabled = false }}
        sinks = [
            {{ kind = "file", path = "long.mp4", segment_seconds = 3 }},
            {{ kind = "file", path = "large.mkv", segment_mb = 1 }},
            {{ kind = "file", path = "own.mp4", segment_seconds = 4, encoder = "x264enc bframes=2 key-int-max=50" }},
        ]
        "#,
        source.display()
    ))
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let report = cart.report().unwrap();
    for (i, name) in ["long.mp4", "large.mkv", "own.mp4"].into_iter().enumerate() {
        let files = recordings(cart.dir.path(), name);
        let figures = &report["sinks"][i];
        assert_eq!(figures["recorded"]["files"], files.len(), "{figures:#}");
        assert_eq!((&figures["frames"], &figures["dropped"]), (&500.into(), &0.into()), "{figures:#}");
        let numbers: Vec<_> =
            files.iter().flat_map(|file| decode(file).unwrap()).map(|picture| number(&picture)).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "{name}: every frame once, in its order");
        let mut before: Option<String> = None;
        for file in &files {
            let (times, what) = (times(file), file.display());
            assert_eq!(times[0], 0.0, "{what}");
            assert_described(file, &times, false);
            let lines = lines(file, false);
            let (first, last) = (&lines[0]["recording"], &lines[lines.len() - 1]["end"]);
            let file_name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(
                (&first["file"], &first["sink"]),
                (&file_name.as_str().into(), &name.into()),
                "{what}"
            );
            assert_eq!(first["continues"].as_str(), before.as_deref(), "{what}");
            let why = if Some(file) == files.last() { "ended" } else { "continued" };
            assert_eq!((&last["why"], &last["frames"]), (&why.into(), &times.len().into()), "{what}");
            before = Some(file_name);
            let (length, size) = (times.len() as f64 / 25.0, file.metadata().unwrap().len());
            match name {
                "long.mp4" => assert!(length <= 3.0, "{what}: {length} s"),
                "large.mkv" => assert!(size <= 1_000_000, "{what}: {size} bytes"),
                _ => assert!(length <= 4.0, "{what}: {length} s"),
            }
        }
        let least = if name == "large.mkv" { 3 } else { 5 };
        assert!(files.len() >= least && files.len() <= 20, "{name}: {files:?}");
    }
}

/// What all recordings of a sink and their sidecars take of the disk.
fn used(folder: &Path, first: &str) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let files = recordings(folder, first);
    files.iter().map(|file| size(file) + size(Path::new(&format!("{}.jsonl", file.display())))).sum()
}

#[test]
fn a_quota_is_kept_under_load_and_nothing_else_is_deleted() {
    let port = free_port().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 60, paced = true }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        sinks = [
            {{ kind = "file", path = "nerve.mp4", segment_mb = 1, quota_mb = 4 }},
            {{ kind = "file", path = "kept/nerve.mp4", segment_seconds = 2 }},
        ]
        "#
    ))
    .unwrap();
    fs::create_dir(cart.path("kept")).unwrap();
    // By name, or by a sidecar, but not by both: these are not this sink's.
    let other =
        r#"{"recording":{"schema":1,"program":"nervelightd","file":"nerve-2.mp4","sink":"other.mp4"}}"#;
    let foreign = [
        ("nerve-1.mp4", "a film"),
        ("nerve-2.mp4", "another's"),
        ("nerve-2.mp4.jsonl", other),
        ("nerve-3.mp4.jsonl", "no JSON"),
        ("nerve-03.mp4", "03"),
        ("nerves.mp4", "s"),
        ("notes.txt", "t"),
    ];
    foreign.iter().for_each(|(name, text)| fs::write(cart.path(name), text).unwrap());
    let running = cart.start().unwrap();
    let begun = Instant::now();
    let (mut most, mut deleted) = (0, 0);
    while deleted < 4 && begun.elapsed() < Duration::from_secs(60) {
        most = most.max(used(cart.dir.path(), "nerve.mp4"));
        deleted = status(port).map_or(0, |s| s["sinks"][0]["recorded"]["deleted"].as_u64().unwrap_or(0));
        sleep(Duration::from_millis(20));
    }
    let ended = running.terminate().unwrap();
    assert!(ended.success && ended.stderr.contains("deleted the oldest recording"), "{}", ended.stderr);
    assert!(deleted >= 4, "{}", ended.stderr);
    proof::row("largest size of recordings with quota_mb = 4, segment_mb = 1", most, "<= 5000000").unwrap();
    assert!(most <= 5_000_000, "{most} bytes");
    for (name, text) in foreign {
        assert_eq!(fs::read_to_string(cart.path(name)).unwrap(), text, "{name}");
    }
    let files: Vec<_> = recordings(cart.dir.path(), "nerve.mp4")
        .into_iter()
        .filter(|path| !foreign.iter().any(|(name, _)| cart.path(name) == *path))
        .collect();
    // Where much comes in two seconds, room for that is made beside the file that is written.
    assert!(!files.is_empty());
    for file in &files {
        assert_described(file, &times(file), false);
    }
    assert!(recordings(&cart.path("kept"), "nerve.mp4").len() > 2, "a sink without a quota keeps all");
}

#[test]
fn proof_a_recording_plays_up_to_its_last_second_after_a_kill() {
    let port = free_port().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", paced = true }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        sinks = [
            {{ kind = "file", path = "a.mp4", segment_seconds = 1 }},
            {{ kind = "file", path = "b.mkv", segment_seconds = 2, quota_mb = 500 }},
        ]
        "#
    ))
    .unwrap();
    let kills = proof::count(5, 50);
    let mut worst = [0.0_f64; 2];
    let mut checked = std::collections::HashSet::new();
    for kill in 0..kills {
        let running = cart.start().unwrap();
        wait_for("frames", || status(port).filter(|s| s["frames_out"].as_u64() > Some(0))).unwrap();
        // Any moment will do; those near to a cut are among them.
        let moment = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
        sleep(Duration::from_millis(1500 + u64::from(moment / 1000) * 7 % 2000));
        running.signal(Signal::KILL).unwrap();
        let killed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as u64;
        assert!(!running.end().unwrap().success);
        for (i, name) in ["a.mp4", "b.mkv"].into_iter().enumerate() {
            let files = recordings(cart.dir.path(), name);
            let mut last = 0;
            for file in files.iter().filter(|file| !checked.contains(*file)) {
                // MP4 plays from the third frame on.
                let is_newest = Some(file) == files.last();
                if is_newest && all(&lines(file, true), "frame").count() < 3 {
                    continue;
                }
                let times = times(file);
                assert!(!times.is_empty() || is_newest, "{} of kill {kill}", file.display());
                last = assert_described(file, &times, true).max(last);
            }
            let lag = (killed as f64 - last as f64) / 1e6;
            worst[i] = worst[i].max(lag);
            checked.extend(files);
        }
    }
    proof::row(
        &format!("seconds lost by SIGKILL, MP4, worst of {kills}"),
        format!("{:.2}", worst[0]),
        "<= 2",
    )
    .unwrap();
    proof::row(
        &format!("seconds lost by SIGKILL, Matroska, worst of {kills}"),
        format!("{:.2}", worst[1]),
        "<= 2",
    )
    .unwrap();
    assert!(worst.iter().all(|lag| *lag <= 2.0), "{worst:?}");
}

#[test]
fn a_sidecar_says_which_model_and_when_the_overlay_was_off() {
    let port = free_port().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", paced = true }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        # On a busy machine, too.
        sync = {{ mode = "latest", max_mask_age_ms = 5000, engine_timeout_ms = 5000 }}
        sinks = [{{ kind = "file", path = "a.mp4" }}]
        "#
    ))
    .unwrap();
    let running = cart.start().unwrap();
    wait_for("a mask", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    for enabled in [false, true] {
        let body = format!("{{\"enabled\": {enabled}}}");
        assert!(request(port, "PUT", "/api/v1/overlay", &body).is_some());
        sleep(Duration::from_millis(500));
    }
    wait_for("a mask", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    let digest = status(port).unwrap()["engine"]["digest"].as_str().unwrap().to_owned();
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let lines = lines(&cart.path("a.mp4"), false);
    let states: Vec<_> = all(&lines, "ai").map(|line| line["state"].as_str().unwrap()).collect();
    let disabled = states.iter().position(|state| *state == "disabled").unwrap();
    assert!(states[..disabled].contains(&"on") && states[disabled..].contains(&"on"), "{states:?}");
    let model = all(&lines, "model").next().unwrap();
    assert_eq!(model["engine"]["digest"], digest, "{model:#}");
    assert!(model["threshold"].is_u64() && model["engine"]["runtime"].is_string(), "{model:#}");
    let region = all(&lines, "region").next().unwrap();
    assert_eq!((&region["width"], &region["height"]), (&576.into(), &416.into()), "{region:#}");
    let header = &lines[0]["recording"];
    assert_eq!((&header["program"], &header["source"]), (&"nervelightd".into(), &"phantom 1".into()));
}

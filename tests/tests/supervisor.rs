//! What the supervisor does about sinks, sources and engines that fail: the video goes on, and what failed is tried again.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nervelight_tests::video::decode;
use nervelight_tests::web::{ask, request, status};
use nervelight_tests::{Cart, Signal, free_port, wait_for, wait_for_line};
use serde_json::Value;

const PHANTOM: &str = "{ kind = \"phantom\", fps = 15 }";

fn cart(port: u16, source: &str, sinks: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {source}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        # However busy the machine is.
        sync = {{ mode = "latest", max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        report = {{ path = "report.json" }}
        sinks = [{sinks}]
        "#
    ))
    .unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// `/status`, once `is_so` of it.
fn wait_until(port: u16, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || status(port).filter(&is_so)).unwrap()
}

fn assert_nothing_lost(report: &Value) {
    assert_eq!(number(&report["frames_in"]), number(&report["frames_out"]) + number(&report["dropped"]));
}

#[test]
fn a_sink_that_cannot_open_is_tried_again_and_takes_nothing_with_it() {
    let port = free_port().unwrap();
    let cart = cart(port, PHANTOM, "{ kind = \"file\", path = \"disk/out.mkv\" }, { kind = \"null\" }");
    let running = cart.start().unwrap();
    let s = wait_until(port, "video without a recording", |s| {
        s["sinks"][0]["failed"].is_string() && s["frames_out"].as_u64() > Some(10)
    });
    assert!(s["sinks"][0]["failed"].as_str().unwrap().contains("disk/out.mkv"), "{s:#}");
    assert!(number(&s["sinks"][1]["frames"]) > 5 && s["sinks"][1]["failed"].is_null(), "{s:#}");
    // The disk is there at last.
    fs::create_dir(cart.path("disk")).unwrap();
    let s = wait_until(port, "a recording", |s| s["sinks"][0]["frames"].as_u64() > Some(15));
    assert!(s["sinks"][0]["failed"].is_null() && number(&s["sinks"][0]["failures"]) > 0, "{s:#}");
    let ended = running.terminate().unwrap();
    assert!(!ended.success, "a recording that lacks its beginning is no success");
    assert!(
        ended.stderr.contains("disk/out.mkv") && ended.stderr.contains("opened again later"),
        "{}",
        ended.stderr
    );
    let report = cart.report().unwrap();
    assert_nothing_lost(&report);
    assert_eq!(
        decode(&cart.path("disk/out.mkv")).unwrap().len() as u64,
        number(&report["sinks"][0]["frames"])
    );
}

#[test]
fn a_monitor_that_fails_comes_back() {
    let port = free_port().unwrap();
    // Unplugged after every tenth picture.
    let sinks =
        "{ kind = \"display\", element = \"identity error-after=10 ! fakesink\" }, { kind = \"null\" }";
    let cart = cart(port, PHANTOM, sinks);
    let running = cart.start().unwrap();
    wait_until(port, "the first failure", |s| s["sinks"][0]["failures"].as_u64() >= Some(1));
    wait_until(port, "the monitor again", |s| s["sinks"][0]["frames"].as_u64() > Some(15));
    let refused = ask_as_page(port, "/api/v1/sinks/1/retry");
    assert_eq!((refused.status, error_kind(&refused.body)), (409, "conflict".into()), "the other one works");
    assert_eq!(error_kind(&ask_as_page(port, "/api/v1/sinks/7/retry").body), "not_found");
    // Nobody waits for the third attempt's time.
    wait_until(port, "the second failure", |s| {
        s["sinks"][0]["failures"].as_u64() >= Some(2) && s["sinks"][0]["failed"].is_string()
    });
    wait_for("a retry", || (ask_as_page(port, "/api/v1/sinks/0/retry").status == 200).then_some(())).unwrap();
    let s = wait_until(port, "the monitor once more", |s| s["sinks"][0]["frames"].as_u64() > Some(25));
    assert_eq!(s["sinks"][1]["failed"], Value::Null);
    running.terminate().unwrap();
    assert_nothing_lost(&cart.report().unwrap());
}

fn ask_as_page(port: u16, path: &str) -> nervelight_tests::web::Answer {
    let (host, origin) = (format!("Host: localhost:{port}"), format!("Origin: http://localhost:{port}"));
    ask(port, "POST", path, &[&host, &origin], "").unwrap()
}

fn error_kind(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap();
    assert!(answer["detail"].as_str().unwrap().len() > 10, "a sentence for people: {answer}");
    answer["code"].as_str().unwrap().into()
}

#[test]
fn a_card_that_is_silent_at_boot_is_ready_and_shows_no_signal() {
    let port = free_port().unwrap();
    let source = "{ kind = \"pipeline\", pipeline = \"appsrc is-live=true \
        caps=video/x-raw,format=I420,width=640,height=480,framerate=30/1\" }";
    let cart = cart(port, source, "{ kind = \"preview\" }, { kind = \"file\", path = \"out.mkv\" }");
    let socket = UnixDatagram::bind(cart.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = cart.command("run").unwrap();
    command.env("NOTIFY_SOCKET", cart.path("notify")).env("WATCHDOG_USEC", "500000");
    let running = cart.start_as(command).unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).trim().to_owned()
    };
    assert_eq!([next(), next(), next()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    let s = wait_until(port, "no signal", |s| s["signal"]["state"] == "no_signal");
    assert_eq!((number(&s["frames_in"]), s["frames"].as_str()), (0, Some("")));
    let picture = wait_for("a picture", || request(port, "GET", "/frame.jpg", "")).unwrap();
    fs::write(cart.path("picture.jpg"), picture).unwrap();
    let picture = &decode(&cart.path("picture.jpg")).unwrap()[0];
    assert_eq!((picture.width, picture.height), (1280, 720));
    assert!(picture.luma.iter().filter(|&&l| l > 200).count() > 500, "it says NO SIGNAL");
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert!(!cart.path("out.mkv").exists(), "a recording begins with the first frame");
}

#[test]
fn a_device_is_waited_for() {
    let port = free_port().unwrap();
    let cart = cart(port, "{ kind = \"v4l2\", device = \"/dev/video99\" }", "{ kind = \"preview\" }");
    let checked = cart.run("check").unwrap();
    assert!(checked.success && checked.stdout.contains("/dev/video99 does not exist"), "{}", checked.stdout);
    let running = cart.start().unwrap();
    let s = wait_until(port, "the reason", |s| s["source_failed"].is_string());
    assert!(s["source_failed"].as_str().unwrap().contains("/dev/video99 does not exist"), "{s:#}");
    wait_until(port, "no signal", |s| s["signal"]["state"] == "no_signal");
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_live_source_that_ends_or_comes_late_is_opened_again() {
    let port = free_port().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (clip, made) = (dir.path().join("clip.mkv"), dir.path().join("made.mkv"));
    let source = format!(
        "{{ kind = \"pipeline\", pipeline = \"filesrc location={} ! matroskademux ! decodebin ! identity sync=true\" }}",
        clip.display()
    );
    let cart = cart(port, &source, "{ kind = \"file\", path = \"out.mkv\" }, { kind = \"null\" }");
    let running = cart.start().unwrap();
    wait_until(port, "a reason", |s| {
        s["source_failed"].as_str().is_some_and(|why| why.contains("Check the path"))
    });
    make_clip(&made, "640x480");
    fs::rename(&made, &clip).unwrap();
    // It is a second long, and begins at 0 each time.
    wait_until(port, "the second time", |s| s["frames_out"].as_u64() > Some(30));
    // Another machine is plugged in.
    make_clip(&made, "800x600");
    fs::rename(&made, &clip).unwrap();
    wait_until(port, "another size", |s| s["frames"].as_str().unwrap().starts_with("800x600"));
    let all = |s: &Value| number(&s["sinks"][0]["frames"]);
    let before = all(&status(port).unwrap());
    wait_until(port, "the next file", |s| all(s) > before + 10);
    let ended = running.terminate().unwrap();
    assert!(ended.success && ended.stderr.contains("changed from 640x480"), "{}", ended.stderr);
    let report = cart.report().unwrap();
    assert_nothing_lost(&report);
    let files = [("out.mkv", 640), ("out-1.mkv", 800)].map(|(name, width)| {
        let pictures = decode(&cart.path(name)).unwrap();
        assert!(pictures.iter().all(|picture| picture.width == width));
        assert!(pictures.is_sorted_by(|a, b| a.pts < b.pts), "{name} goes back in time");
        pictures.len() as u64
    });
    assert_eq!(files[0] + files[1], all(&report), "{report:#}");
    assert!(number(&report["frames_inserted"]) > 0, "NO SIGNAL was shown while it was away");
}

/// A second of video.
fn make_clip(path: &Path, size: &str) {
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i"]).arg(format!("testsrc2=d=1:s={size}:r=20"));
    assert!(ffmpeg.args(["-pix_fmt", "yuv420p", "-c:v", "libx264"]).arg(path).status().unwrap().success());
}

#[test]
fn status_names_the_engine_that_runs_and_the_last_minute() {
    let port = free_port().unwrap();
    let cart = cart(port, PHANTOM, "{ kind = \"null\" }");
    let running = cart.start().unwrap();
    let s = wait_until(port, "the overlay", |s| s["ai"] == "on" && s["frames_out"].as_u64() > Some(20));
    assert_eq!(number(&s["engine_generation"]), 1);
    let minute = &s["last_minute"];
    assert!(
        minute["fps"].as_f64().unwrap() > 1.0 && minute["latency_ms"]["p99"].as_f64().unwrap() > 0.0,
        "{s:#}"
    );
    assert!(minute["engine_ms"]["p50"].as_f64().unwrap() > 0.0, "{s:#}");
    let reopened = ask_as_page(port, "/api/v1/engine/reopen");
    assert_eq!((reopened.status, reopened.text().as_str()), (200, "\"engine_opening\""));
    wait_until(port, "the second engine", |s| number(&s["engine_generation"]) == 2);
    wait_until(port, "the overlay", |s| s["ai"] == "on");
    assert!(running.terminate().unwrap().success);
    let report = cart.report().unwrap();
    assert_nothing_lost(&report);
    assert_eq!(number(&report["dropped"]), 0, "{report:#}");
}

#[test]
fn a_stop_while_sources_and_sinks_open_ends_in_order() {
    let own = "{ kind = \"file\", path = \"N.mp4\", encoder = \"x264enc tune=zerolatency\" }";
    let many: Vec<_> = (0..4).map(|n| own.replace('N', &n.to_string())).collect();
    let sinks = many.join(", ") + ", { kind = \"preview\" }, { kind = \"display\", element = \"fakesink\" }";
    let live = "{ kind = \"pipeline\", pipeline = \"videotestsrc is-live=true ! \
        video/x-raw,width=640,height=480,framerate=30/1 ! x264enc tune=zerolatency ! h264parse ! avdec_h264\" }";
    for (source, line) in [(PHANTOM, "running"), (live, "page at")] {
        for n in 0..8 {
            let cart = cart(free_port().unwrap(), source, &sinks);
            let mut command = cart.command("run").unwrap();
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let stderr = child.stderr.take().unwrap();
            wait_for_line(stderr, move |said| said.contains(line).then_some(())).unwrap();
            std::thread::sleep(Duration::from_millis(3 * n));
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
            let status = child.wait().unwrap();
            assert!(status.success(), "after {line} and {} ms: {status}", 3 * n);
            assert_nothing_lost(&cart.report().unwrap());
        }
    }
}

#[test]
fn a_sink_that_can_never_open_is_refused_before_a_picture_comes() {
    let source = "{ kind = \"v4l2\", device = \"/dev/video99\" }";
    for sink in [
        "{ kind = \"file\", path = \"out.mp4\", encoder = \"nosuchencoder\" }",
        "{ kind = \"display\", element = \"nosuchsink\" }",
    ] {
        let said = cart(free_port().unwrap(), source, sink).refused().unwrap();
        assert!(said.contains("nosuch") && said.contains("cannot be built"), "{said}");
    }
}

#[test]
fn a_monitor_that_hangs_holds_up_nothing_and_is_tried_once() {
    let port = free_port().unwrap();
    let sinks = "{ kind = \"display\", element = \"filesink location=FIFO\" }, { kind = \"null\" }";
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let cart = cart(port, PHANTOM, &sinks.replace("FIFO", &fifo.display().to_string()));
    let running = cart.start().unwrap();
    // Opening a FIFO waits for its reader.
    let s = wait_until(port, "the reason", |s| s["sinks"][0]["failed"].is_string());
    assert!(s["sinks"][0]["failed"].as_str().unwrap().contains("did not open within"), "{s:#}");
    assert!(
        s["latency_ms"]["max"].as_f64().unwrap() < 1500.0,
        "the first picture did not wait for it: {s:#}"
    );
    let threads = || fs::read_dir(format!("/proc/{}/task", running.pid().as_raw_nonzero())).unwrap().count();
    let before = threads();
    assert_eq!(
        error_kind(&ask_as_page(port, "/api/v1/sinks/0/retry").body),
        "conflict",
        "it would hang, too"
    );
    std::thread::sleep(Duration::from_secs(3));
    assert!(threads() <= before, "no attempt is made while one hangs");
    let ended = running.terminate().unwrap();
    assert!(!ended.success && ended.stderr.contains("did not open within"), "{}", ended.stderr);
    assert_nothing_lost(&cart.report().unwrap());
}

#[test]
fn what_is_asked_wrongly_is_answered_for_programs() {
    let port = free_port().unwrap();
    let cart = cart(port, PHANTOM, "{ kind = \"null\" }");
    let running = cart.start().unwrap();
    wait_until(port, "video", |s| s["frames_out"].as_u64() > Some(0));
    let (host, origin) = (format!("Host: localhost:{port}"), format!("Origin: http://localhost:{port}"));
    for body in ["", "{", "{\"enabled\": 1}", "{\"enabled\": true, \"more\": 1}"] {
        let answer = ask(port, "PUT", "/api/v1/overlay", &[&host, &origin], body).unwrap();
        assert_eq!((answer.status / 100, error_kind(&answer.body)), (4, "bad_request".into()), "{body}");
    }
    assert_eq!(error_kind(&ask_as_page(port, "/api/v1/sinks/-1/retry").body), "bad_request");
    assert!(running.terminate().unwrap().success);
}

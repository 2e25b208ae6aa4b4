//! The daemon as a service: signals, systemd, page.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use nervelight_tests::video::decode;
use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, Signal, free_port, wait_for};

fn live(port: u16, sinks: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 15 }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        # However busy the machine is.
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        report = {{ path = "report.json" }}
        sinks = [{sinks}]
        "#
    ))
    .unwrap()
}

#[test]
fn sigterm_ends_a_recording_that_plays() {
    let port = free_port().unwrap();
    let cart = live(port, "{ kind = \"file\", path = \"out.mp4\" }");
    let running = cart.start().unwrap();
    wait_for("20 frames", || status(port).filter(|s| s["frames_out"].as_u64() >= Some(20))).unwrap();
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let report = cart.report().unwrap();
    let frames = report["frames_out"].as_u64().unwrap();
    assert_eq!(report["frames_in"].as_u64().unwrap(), frames + report["dropped"].as_u64().unwrap());
    let recorded = decode(&cart.path("out.mp4")).unwrap().len() as u64;
    assert_eq!(recorded, frames - report["sinks"][0]["dropped"].as_u64().unwrap());
}

/// A live recording whose end takes a second: its encoder is slow.
fn slow_recording() -> Cart {
    Cart::new(
        r#"
        source = { kind = "phantom", fps = 30 }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        report = { path = "report.json" }
        sinks = [{ kind = "file", path = "out.mp4", encoder = "identity sleep-time=250000 ! x264enc tune=zerolatency" }]
        "#,
    )
    .unwrap()
}

#[test]
fn every_way_to_stop_finishes_recording_and_report() {
    // `timeout` sends SIGTERM twice, at once; a terminal that closes sends SIGHUP, and often SIGTERM follows.
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM], [Signal::HUP, Signal::HUP]] {
        let cart = slow_recording();
        let running = cart.start().unwrap();
        wait_for("a recording", || cart.path("out.mp4").metadata().ok().filter(|m| m.len() > 0)).unwrap();
        running.signal(signals[0]).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        running.signal(signals[1]).unwrap();
        let ended = running.end().unwrap();
        assert!(ended.success, "{signals:?}: {}", ended.stderr);
        let report = cart.report().unwrap();
        let recorded = decode(&cart.path("out.mp4")).unwrap().len();
        assert!(
            recorded > 0 && report["sinks"][0]["frames"] == recorded,
            "{signals:?}: {recorded}, {report:#}"
        );
    }
}

#[test]
fn a_second_signal_that_comes_later_ends_it_at_once() {
    let port = free_port().unwrap();
    let encoder = "identity sleep-time=100000000 ! x264enc";
    let cart = live(port, &format!("{{ kind = \"file\", path = \"hangs.mp4\", encoder = \"{encoder}\" }}"));
    let running = cart.start().unwrap();
    // The file is there before the first frame is; without a frame nothing hangs.
    let recorded = |s: &serde_json::Value| s["sinks"][0]["frames"].as_u64() >= Some(5);
    wait_for("frames in the recording", || status(port).filter(recorded)).unwrap();
    running.signal(Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let begun = std::time::Instant::now();
    running.signal(Signal::TERM).unwrap();
    let ended = running.end().unwrap();
    assert!(!ended.success && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn an_engine_that_opens_slowly_keeps_nobody_from_stopping() {
    let cart = Cart::new(
        r#"
        source = { kind = "phantom" }
        model = { bundle = "BUNDLE" }
        engine = { library = "slow.so" }
        http = { enabled = false }
        sinks = [{ kind = "null" }]
        "#,
    )
    .unwrap();
    let code = "#include <unistd.h>\n#include <fcntl.h>\nvoid *OrtGetApiBase(void) \
                { close(creat(\"opening\", 0600)); sleep(60); return 0; }";
    std::fs::write(cart.path("slow.c"), code).unwrap();
    let compiler = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "slow.so", "slow.c"])
        .current_dir(cart.dir.path())
        .status();
    assert!(compiler.unwrap().success());
    let mut command = cart.command("run").unwrap();
    let mut child = command.current_dir(cart.dir.path()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the opening", || cart.path("opening").exists().then_some(())).unwrap();
    let begun = std::time::Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() && begun.elapsed() < Duration::from_secs(3), "{status} {:?}", begun.elapsed());
}

#[test]
fn a_second_recording_never_replaces_the_first() {
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", frames = 3, paced = false }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        sinks = [{ kind = "file", path = "out.mp4" }]
        "#,
    )
    .unwrap();
    for _ in 0..3 {
        assert!(cart.run("run").unwrap().success);
    }
    for name in ["out.mp4", "out-1.mp4", "out-2.mp4"] {
        assert_eq!(decode(&cart.path(name)).unwrap().len(), 3, "{name}");
    }
}

#[test]
fn the_page_shows_picture_figures_and_metrics_and_switches_the_overlay() {
    let port = free_port().unwrap();
    let cart = live(port, "{ kind = \"preview\" }");
    let running = cart.start().unwrap();
    let s = wait_for("the overlay", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    let runtime = if cfg!(target_arch = "x86_64") { "OpenVINO" } else { "ONNX Runtime" };
    assert!(s["engine"]["runtime"].as_str().unwrap().starts_with(runtime), "{s:#}");
    assert_eq!(s["engine"]["digest"].as_str().unwrap().len(), 64, "{s:#}");

    let jpeg = request(port, "GET", "/frame.jpg", "").unwrap();
    assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.len() > 5000, "{} bytes", jpeg.len());
    let html = String::from_utf8(request(port, "GET", "/", "").unwrap()).unwrap();
    assert!(html.contains("/page.js"));
    let metrics = String::from_utf8(request(port, "GET", "/metrics", "").unwrap()).unwrap();
    for name in ["nervelight_frames_out_total", "nervelight_latency_seconds_bucket", "nervelight_ai_on 1"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }

    // Two parts of the stream.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET /stream.mjpg HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
    let (mut seen, mut chunk) = (vec![], [0; 65536]);
    let parts = |bytes: &[u8]| bytes.windows(18).filter(|w| w == b"--nervelight-frame").count();
    while parts(&seen) < 2 {
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "the stream ended");
        seen.extend_from_slice(&chunk[..n]);
    }
    drop(stream);

    request(port, "PUT", "/api/v1/overlay", "{\"enabled\": false}").unwrap();
    wait_for("no overlay", || status(port).filter(|s| s["ai"] == "disabled")).unwrap();
    request(port, "PUT", "/api/v1/overlay", "{\"enabled\": true}").unwrap();
    wait_for("the overlay again", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    assert!(running.terminate().unwrap().success);
}

#[test]
fn systemd_is_told() {
    let cart = live(free_port().unwrap(), "{ kind = \"null\" }");
    let socket = UnixDatagram::bind(cart.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = cart.command("run").unwrap();
    command.env("NOTIFY_SOCKET", cart.path("notify")).env("WATCHDOG_USEC", "200000");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut next = || {
        let mut buffer = [0; 256];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).trim().to_owned()
    };
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    assert_eq!(next(), "WATCHDOG=1");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let last = std::iter::repeat_with(&mut next).find(|m| m != "WATCHDOG=1").unwrap();
    assert_eq!(last, "STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_source_that_falls_silent_is_said_to() {
    // Two frames, each three seconds late.
    let cart = Cart::new(
        r#"
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        report = { path = "report.json" }
        [source]
        kind = "pipeline"
        live = true
        reconnect = false
        pipeline = "videotestsrc num-buffers=2 pattern=white ! video/x-raw,width=640,height=480 ! identity sleep-time=3000000"
        [[sinks]]
        kind = "file"
        path = "out.mkv"
        [[sinks]]
        kind = "display"
        element = "fakesink"
        "#,
    )
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success && ended.stderr.contains("no signal"), "{}", ended.stderr);
    let report = cart.report().unwrap();
    assert!(report["frames_inserted"].as_u64() > Some(5), "{report:#}");
    assert_eq!((&report["frames_out"], &report["dropped"]), (&2.into(), &0.into()), "{report:#}");
    assert_eq!(decode(&cart.path("out.mkv")).unwrap().len(), 2, "a recording holds the source's frames only");
}

#[test]
fn a_sink_that_hangs_keeps_nobody_from_stopping() {
    for source in ["{ kind = \"phantom\", fps = 15 }", "{ kind = \"phantom\", paced = false }"] {
        let cart = Cart::new(&format!(
            r#"
            source = {source}
            model = {{ bundle = "BUNDLE" }}
            http = {{ enabled = false }}
            report = {{ path = "report.json" }}
            [[sinks]]
            kind = "file"
            path = "hangs.mp4"
            encoder = "identity sleep-time=100000000 ! x264enc"
            [[sinks]]
            kind = "file"
            path = "good.mp4"
            "#
        ))
        .unwrap();
        let running = cart.start().unwrap();
        wait_for("a recording", || cart.path("good.mp4").exists().then_some(())).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        let ended = running.terminate().unwrap();
        assert!(!ended.success && ended.stderr.contains("hangs.mp4"), "{}", ended.stderr);
        let report = cart.report().unwrap();
        let figure = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(figure("frames_in"), figure("frames_out") + figure("dropped"), "{report:#}");
        let good = decode(&cart.path("good.mp4")).unwrap().len() as u64;
        assert!(good > 0 && good == report["sinks"][1]["frames"].as_u64().unwrap(), "{report:#}");
    }
}

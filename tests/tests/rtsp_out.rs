//! Players watch the daemon's RTSP server: ffmpeg and GStreamer.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nervelight_tests::clock::{self, Camera};
use nervelight_tests::proof::{count, quantile, row, seconds};
use nervelight_tests::rtsp::{Player, Stalling};
use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, Ended, Running, footprint, free_port, run, wait_for};
use serde_json::Value;

const TEST_PICTURE: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=480,framerate=30/1";
/// A picture of many bytes, so that a viewer that does not read is soon behind.
const NOISE: &str =
    "videotestsrc is-live=true pattern=smpte ! video/x-raw,width=640,height=480,framerate=30/1";

struct Served {
    cart: Cart,
    port: u16,
    page: u16,
}

/// A cart with an RTSP server, and another sink that shows whether the video goes on.
fn served(source: &str, more: &str) -> Served {
    let (port, page) = (free_port().unwrap(), free_port().unwrap());
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "pipeline", pipeline = "{source}" }}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        overlay = {{ enabled = false }}
        http = {{ listen = "127.0.0.1:{page}" }}
        report = {{ path = "report.json" }}
        sinks = [{{ kind = "rtsp", listen = "127.0.0.1:{port}"{more} }}, {{ kind = "display", element = "fakesink" }}]
        "#
    ))
    .unwrap();
    Served { cart, port, page }
}

impl Served {
    fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/nerve", self.port)
    }

    /// Starts the daemon and waits for its pictures.
    fn start(&self) -> Running {
        let running = self.cart.start().unwrap();
        let is_ready =
            |s: &Value| s["frames_out"].as_u64() > Some(5) && s["sinks"][0]["frames"].as_u64() > Some(0);
        wait_for("pictures", || status(self.page).filter(is_ready)).unwrap();
        running
    }

    fn viewers(&self, key: &str) -> u64 {
        status(self.page).and_then(|s| s["sinks"][0]["viewers"][key].as_u64()).unwrap_or(0)
    }

    /// Waits until so many watch.
    fn wait_for_viewers(&self, count: u64) {
        wait_for("viewers", || (self.viewers("watching") == count).then_some(())).unwrap();
    }
}

/// ffprobe's answer about a stream.
fn probe(uri: &str, options: &[&str]) -> Ended {
    let mut command = Command::new("timeout");
    command.args(["30", "ffprobe", "-v", "error", "-rtsp_transport", "tcp"]).args(options);
    run(command.args([
        "-show_entries",
        "stream=profile,has_b_frames,width,height,codec_name",
        "-of",
        "csv=p=0",
        uri,
    ]))
    .unwrap()
}

#[test]
fn ffmpeg_and_gstreamer_watch_over_tcp_and_udp() {
    let served = served(TEST_PICTURE, "");
    let running = served.start();
    let probed = probe(&served.uri(), &[]);
    assert_eq!(probed.stdout.trim(), "h264,Constrained Baseline,640,480,0", "{}", probed.stderr);
    for transport in ["tcp", "udp"] {
        let mut command = Command::new("timeout");
        command.args(["30", "ffmpeg", "-v", "error", "-rtsp_transport", transport, "-i", &served.uri()]);
        let ended = run(command.args(["-frames:v", "60", "-f", "null", "-"])).unwrap();
        assert!(ended.success && ended.stderr.is_empty(), "{transport}: {}", ended.stderr);
        let player = Player::watch(&served.uri(), transport).unwrap();
        for _ in 0..30 {
            player.next().unwrap();
        }
    }
    served.wait_for_viewers(0);
    assert!(served.viewers("joined") >= 5 && served.viewers("frames") > 120);
    let metrics = String::from_utf8(request(served.page, "GET", "/metrics", "").unwrap()).unwrap();
    assert!(
        metrics.contains("nervelight_sink_viewers_joined_total{sink=\"rtsp rtsp://127.0.0.1"),
        "{metrics}"
    );
    // A player notices the end at once.
    let player = Player::receive(&served.uri(), "tcp").unwrap();
    player.next().unwrap();
    let ended = running.terminate().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    while !player.has_ended() {
        player.next().unwrap();
    }
}

#[test]
fn the_wrong_path_and_garbage_are_refused_and_nothing_else_notices() {
    use std::io::{Read, Write};
    let served = served(TEST_PICTURE, ", max_viewers = 2");
    let running = served.start();
    let wrong = probe(&format!("rtsp://127.0.0.1:{}/other", served.port), &[]);
    assert!(wrong.stderr.contains("404"), "{}", wrong.stderr);
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 20_000], b"$\x00\xff\xff", b"SETUP\r\n\r\n", b"\r\n"]
    {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        // It may be closed before everything is sent.
        let _ = stream.write_all(garbage);
        let _ = stream.read(&mut [0; 512]);
    }
    let two =
        [Player::receive(&served.uri(), "tcp").unwrap(), Player::receive(&served.uri(), "udp").unwrap()];
    two.iter().for_each(|player| _ = player.next().unwrap());
    let third = probe(&served.uri(), &[]);
    assert!(third.stderr.contains("453"), "{}", third.stderr);
    wait_for("the count", || (served.viewers("refused") > 0).then_some(())).unwrap();
    drop(two);
    // A player that leaves pauses first, and keeps its place until it has said goodbye.
    wait_for("a place", || probe(&served.uri(), &[]).success.then_some(())).unwrap();
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_log_in_is_asked_for_and_tls_is_spoken() {
    let names = ["certificate", "key", "password", "token"];
    for log_in in ["user = \"ward\", password_file = \"password\"", "token_file = \"token\""] {
        for (scheme, tls) in [("rtsp", ""), ("rtsps", ", certificate = \"certificate\", key = \"key\"")] {
            let served = served(TEST_PICTURE, &format!(", {log_in}{tls}"));
            let [certificate, key, password, token] = names.map(|name| served.cart.path(name));
            let mut openssl = Command::new("openssl");
            openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
            openssl
                .args(["-days", "2", "-subj", "/CN=cart", "-keyout"])
                .arg(key)
                .arg("-out")
                .arg(certificate);
            let made = run(&mut openssl).unwrap();
            assert!(made.success, "{}", made.stderr);
            for secret in [password, token] {
                fs::write(&secret, "planted-pass\n").unwrap();
                fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let running = served.start();
            let uri = |user: &str| format!("{scheme}://{user}127.0.0.1:{}/nerve", served.port);
            for wrong in ["", "ward:wrong@"] {
                let probed = probe(&uri(wrong), &[]);
                assert!(!probed.success && probed.stderr.contains("401"), "{wrong}: {}", probed.stderr);
            }
            let right = probe(&uri("ward:planted-pass@"), &[]);
            assert!(right.success && right.stdout.contains("h264"), "{scheme}: {}", right.stderr);
            if scheme == "rtsps" {
                let plain = probe(&format!("rtsp://127.0.0.1:{}/nerve", served.port), &[]);
                assert!(!plain.success, "{}", plain.stdout);
            }
            let said = status(served.page).unwrap().to_string();
            let ended = running.terminate().unwrap();
            assert!(ended.success && ended.stderr.contains("refused: wrong user"), "{}", ended.stderr);
            let report = served.cart.report().unwrap().to_string();
            for text in [said, ended.stderr, report] {
                assert!(!text.contains("planted-pass"), "{text}");
            }
        }
    }
}

#[test]
fn the_network_is_refused_without_tls_and_a_port_in_use_is_tried_again() {
    let open = Cart::new(
        "source = { kind = \"phantom\" }\nmodel = { bundle = \"BUNDLE\" }\nsinks = [{ kind = \"rtsp\", listen = \
         \"0.0.0.0:8554\" }]",
    )
    .unwrap();
    let said = open.refused().unwrap();
    assert!(said.contains("sinks[0].listen") && said.contains("not on loopback"), "{said}");
    let served = served(TEST_PICTURE, "");
    let holder = std::net::TcpListener::bind(("127.0.0.1", served.port)).unwrap();
    let running = served.cart.start().unwrap();
    let is_told =
        |s: &Value| s["sinks"][0]["failed"].as_str().is_some_and(|why| why.contains("cannot be used"));
    wait_for("the refusal", || status(served.page).filter(is_told)).unwrap();
    drop(holder);
    let player = wait_for("a picture", || {
        let player = Player::receive(&served.uri(), "tcp").unwrap();
        player.next().is_ok().then_some(player)
    });
    assert!(player.is_ok());
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_viewer_that_stalls_is_dropped_to_an_idr_and_then_let_go() {
    let served = served(NOISE, "");
    let running = served.start();
    let good = Player::receive(&served.uri(), "tcp").unwrap();
    good.next().unwrap();
    let mut stalled = Stalling::play(served.port).unwrap();
    let kinds = stalled.read(Duration::from_millis(500)).unwrap();
    assert_eq!(kinds.first(), Some(&7), "the parameters come first: {kinds:?}");
    // The kernel's buffers are full after a moment.
    let dropped =
        wait_for("drops", || Some(served.viewers("dropped")).filter(|dropped| *dropped > 20)).unwrap();
    let kinds = stalled.read(Duration::from_secs(3)).unwrap();
    assert!(kinds.iter().filter(|kind| **kind == 7).count() >= 2, "{kinds:?}");
    println!("{dropped} frames were dropped");
    // One that never reads again is let go.
    wait_for("its end", || (served.viewers("watching") == 1).then_some(())).unwrap();
    let begun = Instant::now();
    let mut frames = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        good.next().unwrap();
        frames += 1;
    }
    assert!(frames > 30, "{frames}");
    assert!(running.terminate().unwrap().success);
}

#[test]
fn proof_late_joiners_see_a_picture_at_once() {
    let served = served(TEST_PICTURE, "");
    let _running = served.start();
    let times = count(10, 100);
    for protocol in ["tcp", "udp"] {
        let first = |_| Player::watch(&served.uri(), protocol).unwrap().next().unwrap().1.as_secs_f64() * 1e3;
        // GStreamer loads its plugins for the first.
        first(0);
        let waits: Vec<_> = (0..times).map(first).collect();
        let p95 = quantile(&waits, 0.95);
        let what = format!(
            "RTSP out, {protocol}: from connecting to the first decoded picture, {times} viewers, p95"
        );
        row(&what, format!("{p95:.0} ms"), "300 ms").unwrap();
        assert!(p95 <= 300.0, "{protocol}: {waits:?}");
    }
}

#[test]
fn proof_joins_and_leaves_leave_nothing() {
    let served = served(TEST_PICTURE, "");
    let running = served.start();
    let times = count(40, 1000);
    let join = |n: u64| {
        let player = Player::receive(&served.uri(), if n.is_multiple_of(2) { "tcp" } else { "udp" }).unwrap();
        player.next().unwrap();
    };
    // Allocators and pools grow with their first use, the engine with its first seconds.
    (0..times.div_ceil(5).max(20)).for_each(join);
    served.wait_for_viewers(0);
    std::thread::sleep(Duration::from_secs(3));
    let before = footprint(running.pid()).unwrap();
    (0..times).for_each(join);
    served.wait_for_viewers(0);
    // The last connections close.
    std::thread::sleep(Duration::from_secs(1));
    let after = footprint(running.pid()).unwrap();
    let what = format!("RTSP out: {times} viewers came and left, growth of");
    row(&format!("{what} resident memory"), format!("{} kB", after.resident - before.resident), "2048 kB")
        .unwrap();
    row(&format!("{what} descriptors"), after.descriptors - before.descriptors, "0").unwrap();
    row(&format!("{what} threads"), after.threads - before.threads, "0").unwrap();
    assert!(
        after.resident - before.resident < 2048
            && after.descriptors <= before.descriptors
            && after.threads <= before.threads,
        "{before:?} -> {after:?}"
    );
}

/// Quantile of the display's latency in ms over a run in which `during` happens.
fn latency(during: impl FnOnce(&Served)) -> (f64, Value) {
    let served = served(NOISE, "");
    let running = served.start();
    during(&served);
    assert!(running.terminate().unwrap().success);
    let report = served.cart.report().unwrap();
    (report["latency_ms"]["p99"].as_f64().unwrap(), report)
}

#[test]
fn proof_many_viewers_and_a_stalled_one_do_not_disturb_the_video() {
    let viewers = count(8, 100);
    let time = seconds(4, 30);
    let watched = |served: &Served| {
        let _stalled = Stalling::play(served.port).unwrap();
        // One process for all of them.
        let one = format!("rtspsrc location={} protocols=tcp latency=0 ! fakesink sync=false", served.uri());
        let mut players = Command::new("timeout");
        let seconds = (time.as_secs() + 60).to_string();
        players.args([&seconds, "gst-launch-1.0", "-q"]);
        (1..viewers).for_each(|_| _ = players.args(one.split(' ')));
        let mut players = players.spawn().unwrap();
        wait_for("all of them", || (served.viewers("joined") >= viewers).then_some(())).unwrap();
        let before = served.viewers("frames");
        std::thread::sleep(time);
        let each = (served.viewers("frames") - before) / (viewers - 1) / time.as_secs();
        row(&format!("RTSP out: {viewers} viewers, frames a second of each"), each, "27").unwrap();
        assert!(each >= 27, "{each} frames a second");
        // It stops at the end of the stream, or here.
        let _ = players.kill();
        let _ = players.wait();
    };
    let mut excess = f64::INFINITY;
    // A machine that is busy with something else may disturb either run.
    for _ in 0..3 {
        let (alone, _) = latency(|_| std::thread::sleep(time));
        let (with, report) = latency(watched);
        assert_eq!(report["sinks"][1]["dropped"], 0, "{report:#}");
        excess = with - alone;
        let what = format!("RTSP out: {viewers} viewers, one stalled, p99 of the display's latency");
        row(&what, format!("{alone:.2} -> {with:.2} ms"), "+1 ms").unwrap();
        if excess <= 1.0 {
            return;
        }
    }
    panic!("the video is {excess:.2} ms later");
}

/// Delays of pictures over a time, in ms.
fn delays(time: Duration) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let camera = Camera::start(folder.path(), 640, 480, 30).unwrap();
    let served = served(&camera.pipeline(), "");
    let _running = served.start();
    let player = Player::watch(&served.uri(), "tcp").unwrap();
    // Decoder and buffers find their pace.
    (0..30).for_each(|_| _ = player.next().unwrap());
    let (begun, mut delays) = (Instant::now(), vec![]);
    while begun.elapsed() < time {
        let (picture, _) = player.next().unwrap();
        let now = clock::now();
        let bytes = picture.buffer().unwrap().map_readable().unwrap();
        let shown = clock::read(&bytes, 640, 640, 480).expect("a clock in the picture");
        delays.push((now - shown) as f64 / 1e3);
    }
    delays
}

#[test]
fn proof_the_picture_arrives_in_time_and_does_not_drift() {
    let time = seconds(8, 600);
    let mut found = (0.0, 0.0);
    // A machine that is busy with something else delays any picture.
    for _ in 0..3 {
        let delays = delays(time);
        let part = delays.len() / 4;
        let ends = [&delays[..part], &delays[delays.len() - part..]];
        // What the machine does besides makes some later; a clock that drifts moves all.
        let [early, late] = ends.map(|values| quantile(values, 0.1));
        let (p50, p99) = (quantile(&delays, 0.5), quantile(&delays, 0.99));
        let what = format!("RTSP out: from capture to the decoded picture, {} s", time.as_secs());
        // The encoder's own is in it.
        row(&format!("{what}, p50 and p99"), format!("{p50:.1} and {p99:.1} ms"), "40 ms").unwrap();
        row(&format!("{what}, drift"), format!("{:.2} ms", late - early), "1 ms").unwrap();
        found = (p99, late - early);
        if p99 <= 40.0 && (late - early).abs() <= 1.0 {
            return;
        }
    }
    panic!("p99 {:.1} ms, drift {:.2} ms", found.0, found.1);
}

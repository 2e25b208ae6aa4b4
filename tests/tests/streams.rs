//! Every example of docs/streams.md works as it is written, but for its ports: a test an example.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nervelight_tests::rtsp::Player;
use nervelight_tests::rtsp_server::Server;
use nervelight_tests::web::status;
use nervelight_tests::whep::Peer;
use nervelight_tests::{Cart, Running, free_port, root, run, wait_for};
use serde_json::Value;

/// Heading above the heading, heading, and which example of it.
type Place = (&'static str, &'static str, usize);

const TESTED: [Place; 10] = [
    ("Sources", "Capture cards: `v4l2`", 0),
    ("Sources", "DICOM files", 0),
    ("Sources", "RTSP", 0),
    ("Sources", "OpenIGTLink", 0),
    ("Sinks", "OpenIGTLink", 0),
    ("Sinks", "WebRTC", 0),
    ("Sinks", "Recordings", 0),
    ("Sinks", "RTSP", 0),
    ("Sinks", "RTSP", 1),
    ("Sinks", "Display", 0),
];

/// All examples of a configuration, with their places.
fn examples() -> Vec<((String, String, usize), String)> {
    let page = fs::read_to_string(root().join("docs/streams.md")).unwrap();
    let (mut part, mut heading, mut found) = (String::new(), String::new(), vec![]);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("### ") {
            heading = title.to_owned();
        } else if let Some(title) = line.strip_prefix("## ") {
            part = title.to_owned();
        } else if line == "```toml" {
            let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            let before = |((p, h, _), _): &&((String, String, usize), String)| *p == part && *h == heading;
            let n = found.iter().filter(before).count();
            found.push(((part.clone(), heading.clone(), n), text.join("\n")));
        }
    }
    found
}

/// A cart that runs an example, with a page of its own.
struct Example {
    cart: Cart,
    port: u16,
}

impl Example {
    /// The example at `place`; its port of the first of each pair becomes the second.
    fn at((part, heading, n): Place, ports: &[(u16, u16)]) -> Self {
        let found = examples().into_iter().find(|((p, h, m), _)| p == part && h == heading && *m == n);
        let (_, mut text) = found.unwrap_or_else(|| panic!("{part}, {heading}: no example {n}"));
        let port = free_port().unwrap();
        match text.contains("8321") {
            true => text = text.replace("8321", &port.to_string()),
            false => text.push_str(&format!("\n[http]\nlisten = \"127.0.0.1:{port}\"\n")),
        }
        for (written, free) in ports {
            assert!(text.contains(&written.to_string()), "port {written} is not in the example");
            text = text.replace(&written.to_string(), &free.to_string());
        }
        Self { cart: Cart::new(&text).unwrap(), port }
    }

    fn start(&self) -> Running {
        self.cart.start().unwrap()
    }

    /// Waits until `/status` is as `ready` wants it.
    fn see(&self, what: &str, ready: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || status(self.port).filter(&ready)).unwrap()
    }
}

fn count(status: &Value, key: &str) -> u64 {
    status[key].as_u64().unwrap_or(0)
}

/// A program at the other end; dropped, it is gone.
struct Other(Child);

impl Other {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn python() -> Command {
    Command::new(root().join(".venv/bin/python"))
}

#[test]
fn every_example_has_a_test() {
    let found: Vec<_> = examples().into_iter().map(|(place, _)| place).collect();
    let tested: Vec<_> =
        TESTED.iter().map(|(part, heading, n)| (part.to_string(), heading.to_string(), *n)).collect();
    assert_eq!(found, tested);
}

#[test]
fn a_capture_card_that_is_not_there_yet() {
    if Path::new("/dev/video0").exists() {
        return println!("skipped: this machine has a card");
    }
    let example = Example::at(TESTED[0], &[]);
    let running = example.start();
    let seen = example.see("NO SIGNAL", |status| status["signal"]["state"] == "no_signal");
    assert!(seen["source_failed"].as_str().unwrap().contains("/dev/video0"), "{seen:#}");
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_dicom_cine() {
    let example = Example::at(TESTED[1], &[]);
    let files = tempfile::tempdir().unwrap();
    let written = run(python().arg(root().join("tests/dicom/write.py")).arg(files.path())).unwrap();
    assert!(written.success, "{}", written.stderr);
    fs::copy(files.path().join("grey.dcm"), example.cart.path("cine.dcm")).unwrap();
    let ended = example.cart.run("run").unwrap();
    assert!(
        ended.success && ended.stdout.contains("6 in, 6 out, 0 dropped"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[test]
fn rtsp_in() {
    let port = free_port().unwrap();
    let example = Example::at(TESTED[2], &[(8554, port)]);
    let _server = Server::start(port, "").unwrap();
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 10);
    assert!(running.terminate().unwrap().success);
}

#[test]
fn igtl_in() {
    let port = free_port().unwrap();
    let example = Example::at(TESTED[3], &[(18944, port)]);
    let peer = root().join("tests/tests/igtl/peer.py");
    let _server = Other::start(python().arg(peer).args(["server", &port.to_string(), "640", "480"]));
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 10);
    assert!(running.terminate().unwrap().success);
}

#[test]
fn igtl_out() {
    let port = free_port().unwrap();
    let example = Example::at(TESTED[4], &[(18944, port)]);
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 10);
    // The command of the page.
    let ask = format!(
        "import pyigtl; c = pyigtl.OpenIGTLinkClient('127.0.0.1', {port}); \
         print(c.wait_for_message('NervelightMask', 5).image.shape)"
    );
    let asked = run(python().args(["-c", &ask])).unwrap();
    assert!(asked.success && asked.stdout.contains("420, 580"), "{}{}", asked.stdout, asked.stderr);
    assert!(running.terminate().unwrap().success);
}

#[test]
fn webrtc() {
    let example = Example::at(TESTED[5], &[(8322, free_port().unwrap())]);
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 10);
    let mut peer = Peer::start(example.port, &["watch", "2"]).unwrap();
    let heard = peer.hear().unwrap();
    assert!(heard.is_object(), "{heard}");
    let seen = example.see("a viewer", |status| {
        let sinks = status["sinks"].as_array().map(Vec::as_slice).unwrap_or_default();
        sinks.iter().any(|sink| sink["viewers"]["frames"].as_u64().is_some_and(|frames| frames > 0))
    });
    assert!(seen["sinks"].as_array().unwrap().iter().all(|sink| sink["failed"].is_null()), "{seen:#}");
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_recording() {
    let example = Example::at(TESTED[6], &[]);
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 60);
    assert!(running.terminate().unwrap().success);
    let file = example.cart.path("nerve.mp4");
    let probed = run(Command::new("ffprobe").args(["-v", "error", "-show_streams"]).arg(&file)).unwrap();
    assert!(
        probed.success && probed.stdout.contains("codec_name=h264"),
        "{}{}",
        probed.stdout,
        probed.stderr
    );
    let sidecar = fs::read_to_string(example.cart.path("nerve.mp4.jsonl")).unwrap();
    assert!(sidecar.lines().filter(|line| line.starts_with("{\"frame\"")).count() > 60);
}

#[test]
fn rtsp_out() {
    gst::init().unwrap();
    let port = free_port().unwrap();
    let example = Example::at(TESTED[7], &[(8554, port)]);
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 10);
    let player = Player::watch(&format!("rtsp://127.0.0.1:{port}/nerve"), "tcp").unwrap();
    player.next().unwrap();
    drop(player);
    assert!(running.terminate().unwrap().success);
}

#[test]
fn rtsp_out_with_tls() {
    let port = free_port().unwrap();
    let example = Example::at(TESTED[8], &[(8322, port)]);
    // The commands of the page.
    let made = run(Command::new("sh").current_dir(example.cart.dir.path()).args([
        "-c",
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=cart -keyout cart.key \
         -out cart.pem && echo secret >rtsp.password",
    ]))
    .unwrap();
    assert!(made.success, "{}", made.stderr);
    for name in ["cart.key", "rtsp.password"] {
        fs::set_permissions(example.cart.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let running = example.start();
    example.see("pictures", |status| count(status, "frames_out") > 10);
    let probe = |password: &str| {
        let uri = format!("rtsps://ward:{password}@127.0.0.1:{port}/nerve");
        run(Command::new("timeout").args(["20", "ffprobe", "-v", "error", "-show_streams", &uri])).unwrap()
    };
    let seen = probe("secret");
    assert!(seen.success && seen.stdout.contains("codec_name=h264"), "{}{}", seen.stdout, seen.stderr);
    assert!(!probe("wrong").success);
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_display() {
    let example = Example::at(TESTED[9], &[]);
    let number = 200 + u32::from(free_port().unwrap()) % 700;
    let _screen =
        Other::start(Command::new("Xvfb").args([&format!(":{number}"), "-screen", "0", "1280x720x24"]));
    std::thread::sleep(Duration::from_secs(1));
    let mut command = example.cart.command("run").unwrap();
    command.env("DISPLAY", format!(":{number}"));
    let running = example.cart.start_as(command).unwrap();
    let seen = example.see("a picture on the screen", |status| count(&status["sinks"][0], "frames") > 10);
    assert!(seen["sinks"][0]["failed"].is_null(), "{seen:#}");
    assert!(running.terminate().unwrap().success);
}

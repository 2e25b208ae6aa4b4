//! OpenIGTLink both ways, with `pyigtl` and Debian's libopenigtlink at the other end.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nervelight_tests::proof::{count, is_full, row};
use nervelight_tests::web::status;
use nervelight_tests::{Cart, Signal, footprint, free_port, root, run, wait_for};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

/// Ends with the test.
struct Peer(Child);

impl Peer {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The daemon, and what it logs.
struct Daemon {
    _child: Peer,
    pid: Pid,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stderr, log) = (child.stderr.take().unwrap(), Arc::new(Mutex::new(String::new())));
        let heard = log.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let pid = Pid::from_child(&child);
        Self { _child: Peer(child), pid, log }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log says `words` for the `times`th time.
    fn wait_for_log(&self, words: &str, times: usize) {
        let said = wait_for(words, || (self.log().matches(words).count() >= times).then_some(()));
        assert!(said.is_ok(), "{words:?} is missing in:\n{}", self.log());
    }

    fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        std::fs::read_dir(folder).unwrap().count()
    }
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join(".venv/bin/python"));
    command.arg(root().join("tests/tests/igtl/peer.py")).args(arguments);
    command
}

/// The program of libopenigtlink, built into `folder`.
fn library_peer(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("peer");
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O1", "-I/usr/include/openigtlink"]);
    compiler.arg(root().join("tests/tests/igtl/peer.cpp")).args(["-lOpenIGTLink", "-lpthread", "-o"]);
    let built = run(compiler.arg(&program)).unwrap();
    assert!(built.success, "is libopenigtlink-dev installed (./setup.sh test)? {}", built.stderr);
    program
}

fn cart(page: u16, source: &str, sink: &str, more: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {source}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        http = {{ listen = "127.0.0.1:{page}" }}
        # However busy the machine is.
        sync = {{ mode = "latest", max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        sinks = [{sink}, {{ kind = "null" }}]
        {more}
        "#
    ))
    .unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn wait_until(page: u16, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || status(page).filter(&is_so)).unwrap()
}

#[test]
fn libopenigtlink_reads_and_packs_the_same_bytes() {
    let (page, inlet, outlet) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
    let cart = cart(
        page,
        &format!("{{ kind = \"igtl\", host = \"127.0.0.1\", port = {inlet}, device = \"Scanner\" }}"),
        &format!("{{ kind = \"igtl\", listen = \"127.0.0.1:{outlet}\" }}"),
        // Nothing is drawn: pixels leave as they came.
        "overlay = { enabled = false }",
    );
    let program = library_peer(cart.dir.path());
    let daemon = Daemon::start(cart.command("run").unwrap());
    let _server = Peer::start(Command::new(&program).args(["server", &inlet.to_string()]));
    wait_until(page, "frames of the library", |s| s["frames_out"].as_u64() > Some(5));
    let ended =
        run(Command::new("timeout").arg("50").arg(&program).args(["client", &outlet.to_string(), "20"]));
    let ended = ended.unwrap();
    assert!(ended.success, "{} {}", ended.stderr, daemon.log());
    assert!(
        ended.stdout.contains("STATUS 15 AI DISABLED: AI DISABLED; spacing 0.125 x 0.25 mm"),
        "{}",
        ended.stdout
    );
    let frames = status(page).unwrap();
    assert!(frames["frames"].as_str().unwrap().contains("640x480"), "{frames:#}");
}

#[test]
fn pyigtl_gets_frames_with_their_masks() {
    let (page, outlet) = (free_port().unwrap(), free_port().unwrap());
    let sink = format!("{{ kind = \"igtl\", listen = \"127.0.0.1:{outlet}\" }}");
    let cart = cart(page, "{ kind = \"phantom\", fps = 15 }", &sink, "");
    let daemon = Daemon::start(cart.command("run").unwrap());
    wait_until(page, "masks", |s| s["ai"] == "on");
    let quiet = wait_until(page, "frames", |s| s["frames_out"].as_u64() > Some(20));
    assert_eq!(number(&quiet["sinks"][0]["frames"]), 0, "nobody is there: {quiet:#}");
    let out = cart.path("out");
    let mut command = python(&["client", &outlet.to_string(), out.to_str().unwrap()]);
    let mut peer = Peer(command.stdout(Stdio::piped()).spawn().unwrap());
    let said = nervelight_tests::wait_for_line(peer.0.stdout.take().unwrap(), |line| {
        serde_json::from_str::<Value>(line).ok()
    });
    let said = said.unwrap_or_else(|e| panic!("{e}: {}", daemon.log()));
    assert_eq!(
        (&said["shape"], &said["mask_shape"]),
        (&said["mask_shape"], &serde_json::json!([1, 420, 580]))
    );
    assert_eq!((&said["values"], &said["same_matrix"]), (&serde_json::json!([0, 1]), &Value::Bool(true)));
    let identity: Vec<Vec<f64>> =
        (0..4).map(|i| (0..4).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    assert_eq!(said["matrix"], serde_json::json!(identity), "spacing unknown, first pixel at 0, 0, 0");
    assert!(said["age"].as_f64().unwrap().abs() < 5.0, "{said}");
    let mask = std::fs::read(cart.path("out.mask")).unwrap();
    let area = mask.iter().filter(|&&m| m == 1).count();
    assert!((400..100_000).contains(&area), "{area} pixels of nerve");

    // A client that stops reads nothing more; its machine's buffers fill, and then it is let go.
    let files = daemon.open_files();
    let begun = Instant::now();
    peer.signal(Signal::STOP);
    daemon.wait_for_log("client gone", 1);
    let took = begun.elapsed();
    println!("a stopped client was let go after {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    wait_for("its descriptors", || (daemon.open_files() < files).then_some(())).unwrap();
    // One that is killed is gone at once.
    drop(peer);
    let peer =
        Peer::start(python(&["client", &outlet.to_string(), out.to_str().unwrap()]).stdout(Stdio::null()));
    daemon.wait_for_log("client connected", 2);
    let begun = Instant::now();
    drop(peer);
    daemon.wait_for_log("client gone", 2);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let after = status(page).unwrap();
    assert_eq!(after["sinks"][0]["failed"], Value::Null, "{after:#}");
}

#[test]
fn pyigtl_sends_and_comes_back_after_a_kill() {
    let (page, inlet) = (free_port().unwrap(), free_port().unwrap());
    let source = format!("{{ kind = \"igtl\", host = \"127.0.0.1\", port = {inlet} }}");
    let cart = cart(page, &source, "{ kind = \"preview\" }", "region = { pad = true }");
    let daemon = Daemon::start(cart.command("run").unwrap());
    daemon.wait_for_log("cannot be reached", 1);
    let start = |width: &str| Peer::start(&mut python(&["server", &inlet.to_string(), width, "400"]));
    let first = start("500");
    // Smaller than the crop: it gets a border.
    wait_until(page, "frames of pyigtl", |s| {
        s["frames_out"].as_u64() > Some(5) && s["frames"].as_str().unwrap_or("").contains("576x416")
    });
    drop(first);
    wait_until(page, "NO SIGNAL", |s| s["signal"]["state"] == "no_signal" && s["source_failed"].is_string());
    let begun = Instant::now();
    let _second = start("700");
    let back = wait_until(page, "frames after the kill", |s| {
        s["signal"]["state"] == "ok" && s["frames"].as_str().unwrap_or("").contains("700x416")
    });
    println!("frames were back {:?} after pyigtl was started again", begun.elapsed());
    assert!(back["source_failed"].is_null(), "{back:#}");
    assert_eq!(number(&back["frames_in"]), number(&back["frames_out"]) + number(&back["dropped"]));
}

#[test]
fn a_machine_that_vanishes_is_let_go_within_two_seconds() {
    // A network of the test's own, whose cable is pulled.
    if !run(Command::new("unshare").args(["-n", "true"])).is_ok_and(|ended| ended.success) {
        eprintln!("skipped: this user may make no network namespace");
        return;
    }
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", fps = 15 }
        model = { bundle = "BUNDLE" }
        engine = { precision = "int8" }
        http = { enabled = false }
        sinks = [{ kind = "igtl", listen = "127.0.0.1:18944" }]
        "#,
    )
    .unwrap();
    let inside = cart.command("run").unwrap();
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"]).arg(inside.get_program());
    let daemon = Daemon::start({
        command.args(inside.get_args());
        command
    });
    let pid = daemon.pid.as_raw_nonzero().to_string();
    let enter = |arguments: &[&str]| {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &pid]).args(arguments);
        command
    };
    daemon.wait_for_log("open sink=igtl", 1);
    let reader =
        "import socket\ns = socket.create_connection(('127.0.0.1', 18944))\nwhile s.recv(1 << 20): pass";
    let python = root().join(".venv/bin/python");
    let _client = Peer::start(&mut enter(&[python.to_str().unwrap(), "-c", reader]));
    daemon.wait_for_log("client connected", 1);
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    assert!(run(&mut enter(&["ip", "link", "set", "lo", "down"])).unwrap().success);
    daemon.wait_for_log("client gone", 1);
    let took = begun.elapsed();
    println!("a vanished client was let go after {took:?}");
    assert!(took < Duration::from_millis(2500), "{took:?}: {}", daemon.log());
}

#[test]
fn garbage_from_clients_and_servers_is_named_and_survived() {
    let (page, inlet, outlet) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
    let cart = cart(
        page,
        &format!("{{ kind = \"igtl\", host = \"127.0.0.1\", port = {inlet} }}"),
        &format!("{{ kind = \"igtl\", listen = \"127.0.0.1:{outlet}\" }}"),
        "",
    );
    let listener = std::net::TcpListener::bind(("127.0.0.1", inlet)).unwrap();
    let daemon = Daemon::start(cart.command("run").unwrap());
    let serve = |bytes: &[u8]| {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = std::io::Write::write_all(&mut stream, bytes);
        stream
    };
    let mut header = vec![0, 1];
    header.extend(b"IMAGE\0\0\0\0\0\0\0Probe");
    header.resize(58, 0);
    header[42] = 16;
    let _bomb = serve(&header);
    daemon.wait_for_log("1152921504606846976 bytes", 1);
    let _noise = serve(&[0xa5; 5000]);
    daemon.wait_for_log("is not OpenIGTLink", 1);
    let _silent = serve(b"");
    daemon.wait_for_log("has sent nothing for 2s", 1);
    drop(listener);
    for _ in 0..10 {
        let mut stream = TcpStream::connect(("127.0.0.1", outlet)).unwrap();
        let _ = std::io::Write::write_all(&mut stream, &[0x5a; 10_000]);
    }
    daemon.wait_for_log("client gone", 10);
    let s = wait_until(page, "NO SIGNAL", |s| s["signal"]["state"] == "no_signal");
    assert!(s["sinks"][0]["failed"].is_null(), "{s:#}");
}

#[test]
fn other_machines_have_to_be_let_in() {
    let with = |sink: &str| {
        Cart::new(&format!(
            "source = {{ kind = \"phantom\", frames = 3 }}\nmodel = {{ bundle = \"BUNDLE\" }}\nhttp = {{ enabled = false }}\n\
             sinks = [{{ kind = \"igtl\", {sink} }}]"
        ))
        .unwrap()
    };
    let port = free_port().unwrap();
    let said = with(&format!("listen = \"0.0.0.0:{port}\"")).refused().unwrap();
    assert!(said.contains("sinks[0].listen") && said.contains("allow_unprotected = true"), "{said}");
    let said = with("listen = \"here\"").refused().unwrap();
    assert!(said.contains("127.0.0.1:18944"), "{said}");
    let let_in = with(&format!("listen = \"0.0.0.0:{port}\", allow_unprotected = true")).run("run").unwrap();
    assert!(
        let_in.success && let_in.stderr.contains("everybody who reaches this address"),
        "{}",
        let_in.stderr
    );
}

#[test]
fn proof_clients_that_come_and_go_leave_nothing_behind() {
    let (page, outlet) = (free_port().unwrap(), free_port().unwrap());
    let sink = format!("{{ kind = \"igtl\", listen = \"127.0.0.1:{outlet}\" }}");
    let cart = cart(page, "{ kind = \"phantom\", fps = 15 }", &sink, "");
    let daemon = Daemon::start(cart.command("run").unwrap());
    wait_until(page, "masks", |s| s["ai"] == "on");
    let come_and_go = |times: u64| {
        for n in 0..times {
            let mut stream = TcpStream::connect(("127.0.0.1", outlet)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // At once, within a header, within a picture.
            let bytes = [0, 30, 100_000][n as usize % 3];
            stream.read_exact(&mut vec![0; bytes]).unwrap();
        }
        thread::sleep(Duration::from_millis(500));
    };
    come_and_go(50);
    let before = footprint(daemon.pid).unwrap();
    let times = count(100, 1000);
    come_and_go(times);
    let after = footprint(daemon.pid).unwrap();
    let more = (after.descriptors - before.descriptors).max(0);
    let grown = (after.resident - before.resident).max(0);
    row(&format!("OpenIGTLink: descriptors after {times} clients"), format!("+{more}"), "+0").unwrap();
    row(&format!("OpenIGTLink: memory after {times} clients"), format!("+{grown} KiB"), "+2048 KiB").unwrap();
    assert!(more == 0 && (grown < 2048 || !is_full()), "{more} descriptors, {grown} KiB");
}

//! RTSP in, from servers that others wrote: the picture comes, comes back by itself, is never late for long, and never lies.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nervelight_tests::rtsp_server::{Screen, Seen, Server, Way, now};
use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, Running, Signal, footprint, free_port, proof, wait_for};
use serde_json::Value;

const PASSWORD: &str = "planted-password";
/// What a picture may differ by after encoding.
const BLUR: u32 = 12;
/// The picture's lag has to be below this, in ms.
const LATE: u32 = 100;

/// A daemon that shows a stream.
struct Bench {
    cart: Cart,
    screen: Screen,
    port: u16,
}

impl Bench {
    /// `source` without its kind; `CART` in it stands for nothing yet.
    fn new(source: &str) -> Self {
        let port = free_port().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.keep().join("screen");
        let screen = Screen::open(&fifo).unwrap();
        let cart = Cart::new(&format!(
            r#"
            source = {{ kind = "rtsp", {source} }}
            model = {{ bundle = "BUNDLE" }}
            engine = {{ precision = "int8" }}
            sync = {{ mode = "latest", max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
            http = {{ listen = "127.0.0.1:{port}" }}
            report = {{ path = "report.json" }}
            sinks = [{{ kind = "null" }}, {}]
            "#,
            Screen::sink(&fifo)
        ))
        .unwrap();
        let password = cart.path("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self { cart, screen, port }
    }

    fn of(server: u16) -> Self {
        Self::new(&format!("uri = \"rtsp://127.0.0.1:{server}/us\""))
    }

    /// Waits for a picture that was made from now on.
    fn fresh(&self) -> Seen {
        self.screen.wait(now(), Duration::from_secs(30)).expect("a picture")
    }

    /// `/status`, once `is_so` of it.
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || status(self.port).filter(&is_so)).unwrap()
    }

    /// Why the source is waited for, once it says `word`.
    fn reason(&self, word: &str) -> String {
        let s = self.until(word, |s| s["source_failed"].as_str().is_some_and(|why| why.contains(word)));
        s["source_failed"].as_str().unwrap().into()
    }

    /// Ends the run; everything that it said. Nothing is lost, and no password is told.
    fn end(self, running: Running) -> String {
        let status = String::from_utf8(request(self.port, "GET", "/status", "").unwrap()).unwrap();
        let metrics = String::from_utf8(request(self.port, "GET", "/metrics", "").unwrap()).unwrap();
        let ended = running.terminate().unwrap();
        let report = self.cart.report().unwrap();
        let count = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(count("frames_in"), count("frames_out") + count("dropped"), "{report:#}");
        let said = format!("{}\n{}\n{status}\n{metrics}\n{report}", ended.stdout, ended.stderr);
        assert!(!said.contains(PASSWORD), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

fn median_lag(seen: &[Seen]) -> u32 {
    let mut lags: Vec<_> = seen.iter().filter_map(Seen::lag).collect();
    lags.sort_unstable();
    *lags.get(lags.len() / 2).expect("pictures")
}

#[test]
fn both_codecs_are_shown_whatever_the_server_asks_for() {
    for (options, source) in [
        ("--codec h264", ""),
        ("--codec h264 --auth basic", ", user = \"cart\", password_file = \"password\""),
        ("--codec h265 --fps 15 --auth digest", ", user = \"cart\", password_file = \"password\""),
        ("--codec h265 --fps 15", ", decoder = \"avdec_h265 thread-type=slice\""),
        ("--codec h264", ", transport = \"udp\""),
        (
            "--codec h265 --fps 15 --auth digest",
            ", transport = \"udp\", user = \"cart\", password_file = \"password\"",
        ),
    ] {
        let port = free_port().unwrap();
        let server = Server::start(port, options).unwrap();
        let bench = Bench::new(&format!("uri = \"rtsp://127.0.0.1:{port}/us\"{source}"));
        let checked = bench.cart.run("check").unwrap();
        assert!(checked.success && checked.stdout.contains("parse ! avdec_h26"), "{checked:?}");
        let running = bench.cart.start().unwrap();
        bench.fresh();
        thread::sleep(Duration::from_secs(2));
        let seen = bench.screen.take();
        assert!(seen.len() > 10, "{} pictures in 2 s with {options}{source}", seen.len());
        let damage = seen.iter().map(|seen| seen.damage).max().unwrap();
        println!("{options}{source}: lag {} ms, worst difference {damage}", median_lag(&seen));
        assert!(seen.iter().all(|seen| seen.made.is_some()) && damage < BLUR, "{options}: {seen:?}");
        assert!(median_lag(&seen) < LATE, "{options}{source}: {} ms", median_lag(&seen));
        let s = bench.until("masks", |s| s["frames_masked"].as_u64() > Some(5));
        assert_eq!((&s["source_reconnects"], &s["source_failed"]), (&Value::from(0), &Value::Null));
        bench.end(running);
        drop(server);
    }
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let port = free_port().unwrap();
    let server = Server::start(port, "--auth digest").unwrap();
    for transport in ["tcp", "udp"] {
        let source = |path: &str, login: &str| {
            format!("uri = \"rtsp://127.0.0.1:{port}/{path}\", transport = \"{transport}\"{login}")
        };
        let wrong = ", user = \"cart\", password_file = \"wrong\"";
        for (path, login, word) in [
            ("us", "", "refuses to send it"),
            ("us", wrong, "refuses to send it"),
            ("nothing", "", "has no such stream"),
        ] {
            let bench = Bench::new(&source(path, login));
            fs::write(bench.cart.path("wrong"), "planted-password-of-another").unwrap();
            fs::set_permissions(bench.cart.path("wrong"), fs::Permissions::from_mode(0o600)).unwrap();
            let mut command = bench.cart.command("check").unwrap();
            let checked = nervelight_tests::run(command.arg("--deep")).unwrap();
            assert!(!checked.success && checked.stderr.contains(word), "{transport}: {checked:?}");
            assert!(!checked.stderr.contains(PASSWORD), "{checked:?}");
            let running = bench.cart.start().unwrap();
            let why = bench.reason(word);
            assert!(why.contains(&format!("127.0.0.1:{port}")) && why.contains("Check"), "{why}");
            bench.end(running);
        }
    }
    // Everybody reads it.
    let bench = Bench::new(&format!(
        "uri = \"rtsp://127.0.0.1:{port}/us\", user = \"cart\", password_file = \"password\""
    ));
    fs::set_permissions(bench.cart.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let checked = bench.cart.run("check").unwrap();
    assert!(!checked.success && checked.stderr.contains("chmod o="), "{checked:?}");
    let running = bench.cart.start().unwrap();
    bench.reason("chmod o=");
    // It is read anew each time.
    fs::set_permissions(bench.cart.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.fresh();
    bench.end(running);
    drop(server);
}

#[test]
fn proof_a_server_that_is_killed_at_random_is_back_within_a_second() {
    let kills = proof::count(6, 100);
    let port = free_port().unwrap();
    let mut server = Some(Server::start(port, "").unwrap());
    let bench = Bench::of(port);
    let running = bench.cart.start().unwrap();
    bench.fresh();
    let (mut waits, mut before, mut stuck) = (vec![], None, 0);
    for kill in 0..kills {
        thread::sleep(Duration::from_millis(200 + random(1500)));
        drop(server.take());
        thread::sleep(Duration::from_millis(random(4000)));
        let masked = status(bench.port).unwrap()["frames_masked"].as_u64().unwrap();
        waits.push(loop {
            let mut started = Server::start(port, "--exit-when-stuck").unwrap();
            let (back, time) = (Instant::now(), now());
            let shown = loop {
                if bench.screen.wait(time, Duration::from_millis(5)).is_some() {
                    break true;
                }
                if started.has_ended() {
                    break false;
                }
                assert!(back.elapsed() < Duration::from_secs(20), "{:#}", status(bench.port).unwrap());
            };
            if shown {
                server = Some(started);
                break back.elapsed().as_millis() as u64;
            }
            stuck += 1;
        });
        bench.until("masks", |s| s["frames_masked"].as_u64() > Some(masked));
        // What is allocated once is there by then.
        if kill == kills / 2 {
            before = Some(footprint(running.pid()).unwrap());
        }
    }
    let (before, after) = (before.unwrap(), footprint(running.pid()).unwrap());
    waits.sort_unstable();
    let worst = waits[waits.len() - 1];
    let median = waits[waits.len() / 2];
    proof::row(
        &format!("RTSP server killed {kills} times: picture back, median and worst"),
        format!("{median} ms, {worst} ms; the server itself stuck {stuck} times"),
        "1000 ms",
    )
    .unwrap();
    let grown = after.resident - before.resident;
    let opened = after.descriptors - before.descriptors;
    let what = format!("memory and descriptors over the latter {} of these", kills - kills / 2);
    proof::row(&what, format!("+{grown} kB, +{opened}"), "2048 kB, 2").unwrap();
    // Other tests beside this one take the processors from it.
    assert!(worst <= if proof::is_full() { 1000 } else { 3000 }, "{waits:?}");
    assert!(median <= 1000 && stuck <= 2 + kills / 10, "{waits:?}, {stuck}");
    assert!(opened <= 2 && (grown <= 2048 || !proof::is_full()), "{before:?} {after:?}");
    let s = status(bench.port).unwrap();
    assert_eq!(s["source_reconnects"].as_u64(), Some(kills), "{s:#}");
    let said = bench.end(running);
    assert!(said.contains(&format!("nervelight_source_reconnects_total {kills}")), "{said}");
}

#[test]
fn after_a_stall_the_picture_is_fresh_again() {
    let port = free_port().unwrap();
    let server = Server::start(port, "").unwrap();
    let way = Way::to(port).unwrap();
    let bench = Bench::of(way.port);
    let running = bench.cart.start().unwrap();
    bench.fresh();
    let settled = || {
        thread::sleep(Duration::from_secs(1));
        bench.screen.take();
        thread::sleep(Duration::from_secs(1));
        let seen = bench.screen.take();
        assert!(seen.len() > 15 && seen.iter().all(|seen| seen.damage < BLUR), "{seen:?}");
        median_lag(&seen)
    };
    // The network's.
    way.block(true);
    thread::sleep(Duration::from_millis(1500));
    way.block(false);
    let lag = settled();
    assert!(lag < LATE, "{lag} ms after the network's stall");
    // The cart's own.
    running.signal(Signal::STOP).unwrap();
    thread::sleep(Duration::from_secs(4));
    running.signal(Signal::CONT).unwrap();
    let own = settled();
    assert!(own < LATE, "{own} ms after the cart's stall");
    println!("lag after stalls: {lag} ms, {own} ms");
    bench.end(running);
    drop(server);
}

#[test]
fn a_peer_that_is_gone_without_a_word_is_left_and_found_again() {
    let port = free_port().unwrap();
    let server = Server::start(port, "").unwrap();
    let way = Way::to(port).unwrap();
    let bench = Bench::of(way.port);
    let running = bench.cart.start().unwrap();
    bench.fresh();
    way.block(true);
    let begun = Instant::now();
    let why = bench.reason("has sent nothing");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}: {why}", begun.elapsed());
    way.block(false);
    bench.fresh();
    bench.end(running);
    drop(server);
}

#[test]
fn whatever_answers_the_source_is_waited_for() {
    let port = free_port().unwrap();
    for transport in ["tcp", "udp"] {
        let bench = Bench::new(&format!("uri = \"rtsp://127.0.0.1:{port}/us\", transport = \"{transport}\""));
        let running = bench.cart.start().unwrap();
        bench.reason("cannot be reached");
        // It accepts, and says nothing; then what nobody understands.
        for garbage in [false, true] {
            let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            listener.set_nonblocking(true).unwrap();
            let end = Instant::now() + Duration::from_secs(60);
            let mut held = vec![];
            let word = if garbage { "127.0.0.1" } else { "nothing for" };
            loop {
                if let Ok((mut stream, _)) = listener.accept() {
                    if garbage {
                        let bytes: Vec<u8> = (0..5000).map(|_| random(256) as u8).collect();
                        // It may be gone already.
                        let _ = stream.write_all(&bytes);
                        let _ = stream
                            .write_all(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n");
                    }
                    held.push(stream);
                }
                let s = status(bench.port).unwrap();
                let why = s["source_failed"].as_str().unwrap_or_default();
                let is_said = !held.is_empty() && why.contains(word) && !why.contains("cannot be reached");
                if is_said && (!garbage || !why.contains("nothing for") || transport == "udp") {
                    break;
                }
                assert!(Instant::now() < end, "{transport}, garbage {garbage}: {why}");
                thread::sleep(Duration::from_millis(50));
            }
            held.into_iter().for_each(|mut stream| {
                stream.set_nonblocking(true).unwrap();
                let _ = stream.read(&mut [0; 1000]);
            });
        }
        let server = Server::start(port, "").unwrap();
        bench.fresh();
        drop(server);
        bench.end(running);
    }
}

#[test]
fn a_stream_without_pictures_is_no_stream() {
    let port = free_port().unwrap();
    for (options, word) in [("--codec jpeg", "no H.264 or H.265"), ("--pause 3", "has sent nothing")] {
        let server = Server::start(port, options).unwrap();
        let bench = Bench::of(port);
        let running = bench.cart.start().unwrap();
        bench.reason(word);
        bench.end(running);
        drop(server);
    }
}

#[test]
fn a_server_over_tls_has_to_be_trusted() {
    let port = free_port().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("certificate"), path("key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let server = Server::start(port, &format!("--auth basic --tls {certificate} {key}")).unwrap();
    let login = "user = \"cart\", password_file = \"password\"";
    let bench = Bench::new(&format!("uri = \"rtsps://localhost:{port}/us\", {login}"));
    let running = bench.cart.start().unwrap();
    bench.reason("does not trust the certificate");
    bench.end(running);
    drop(server);
}

#[test]
fn proof_packets_that_are_lost_damage_no_picture() {
    for codec in ["h264", "h265"] {
        let port = free_port().unwrap();
        let options = format!("--codec {codec} --loss 0.2 --gop 5 --bitrate 800 --mtu 8000");
        let server = Server::start(port, &options).unwrap();
        let bench = Bench::new(&format!("uri = \"rtsp://127.0.0.1:{port}/us\", transport = \"udp\""));
        let running = bench.cart.start().unwrap();
        bench.fresh();
        thread::sleep(proof::seconds(8, 60));
        let seen: Vec<_> = bench.screen.take().into_iter().filter(|seen| seen.made.is_some()).collect();
        let worst = seen.iter().map(|seen| seen.damage).max().unwrap();
        let lag = median_lag(&seen);
        proof::row(
            &format!(
                "RTSP over UDP, {codec}, one packet of five lost: pictures, worst difference in 16x16, lag"
            ),
            format!("{}, {worst}, {lag} ms", seen.len()),
            "a picture every 4 s, 12, 100 ms",
        )
        .unwrap();
        assert!(seen.len() as u64 >= proof::count(2, 15) && worst < BLUR && lag < LATE, "{seen:?}");
        assert_eq!(status(bench.port).unwrap()["source_reconnects"], 0);
        bench.end(running);
        drop(server);
    }
}

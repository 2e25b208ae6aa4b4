//! Peers of the network that mean harm.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nervelight_tests::web::status;
use nervelight_tests::{Cart, free_port, wait_for};

/// Answers each request with `answer`, and keeps what was asked.
fn answer(listener: TcpListener, answer: String) -> Arc<Mutex<String>> {
    let heard = Arc::<Mutex<String>>::default();
    let hears = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (hears, answer) = (hears.clone(), answer.clone());
            thread::spawn(move || {
                let mut to = stream.try_clone().unwrap();
                let mut number = String::new();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    hears.lock().unwrap().push_str(&format!("{line}\n"));
                    if let Some(sent) = line.strip_prefix("CSeq: ") {
                        number = sent.to_owned();
                    }
                    if line.is_empty() && to.write_all(answer.replace("NUMBER", &number).as_bytes()).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    heard
}

#[test]
fn a_password_does_not_follow_a_redirection() {
    for transport in ["tcp", "udp"] {
        let elsewhere = TcpListener::bind("127.0.0.2:0").unwrap();
        let there = elsewhere.local_addr().unwrap();
        let asks = "RTSP/1.0 401 Unauthorized\r\nCSeq: NUMBER\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n";
        let heard = answer(elsewhere, asks.into());
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let moved = format!("RTSP/1.0 302 Moved\r\nCSeq: NUMBER\r\nLocation: rtsp://{there}/us\r\n\r\n");
        let asked = answer(server, moved);
        let page = free_port().unwrap();
        let cart = Cart::new(&format!(
            r#"
            source = {{ kind = "rtsp", uri = "rtsp://127.0.0.1:{port}/us", user = "cart", password_file = "secret", transport = "{transport}" }}
            model = {{ bundle = "BUNDLE" }}
            sinks = [{{ kind = "null" }}]
            http = {{ listen = "127.0.0.1:{page}" }}
            "#
        ))
        .unwrap();
        fs::write(cart.path("secret"), "planted-password\n").unwrap();
        fs::set_permissions(cart.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let running = cart.start().unwrap();
        wait_for("its reason", || status(page)?["source_failed"].as_str().map(str::to_owned)).unwrap();
        assert!(running.terminate().unwrap().success);
        assert!(!asked.lock().unwrap().is_empty(), "{transport}: nobody asked");
        let heard = heard.lock().unwrap();
        assert!(!heard.contains("Authorization"), "{transport}: {heard}");
    }
}

#[test]
fn who_does_not_log_in_is_let_go_and_keeps_nobody_out() {
    let (port, page) = (free_port().unwrap(), free_port().unwrap());
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom" }}
        model = {{ bundle = "BUNDLE" }}
        sinks = [{{ kind = "rtsp", listen = "127.0.0.1:{port}", token_file = "token" }}]
        http = {{ listen = "127.0.0.1:{page}" }}
        "#
    ))
    .unwrap();
    fs::write(cart.path("token"), "planted-token\n").unwrap();
    fs::set_permissions(cart.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let running = cart.start().unwrap();
    let mut stranger = wait_for("the server", || TcpStream::connect(("127.0.0.1", port)).ok()).unwrap();
    stranger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let begun = Instant::now();
    // A byte of a request now and then, for ever.
    let mut drips = stranger.try_clone().unwrap();
    thread::spawn(move || {
        for byte in b"OPTIONS rtsp://127.0.0.1/nerve RTSP/1.0\r\n" {
            if drips.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    assert_eq!(stranger.read(&mut [0; 64]).unwrap_or(0), 0, "it is let go");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(running.terminate().unwrap().success);
}

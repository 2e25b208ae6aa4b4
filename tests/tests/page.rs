//! The daemon's page and its server: what other sites, slow readers and idle connections may not do.
#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use nervelight_tests::video::decode;
use nervelight_tests::web::{ask, connect, request, status};
use nervelight_tests::{Cart, Running, free_port, wait_for};

fn live(port: u16, more: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 15 }}
        model = {{ bundle = "BUNDLE" }}
        # However busy the machine is.
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        {more}
        sinks = [{{ kind = "preview" }}]
        [http]
        listen = "127.0.0.1:{port}"
        "#
    ))
    .unwrap()
}

/// A daemon whose page shows the overlay, in its folder.
fn running(port: u16) -> (Cart, Running) {
    let cart = live(port, "");
    let running = cart.start().unwrap();
    wait_for("the overlay", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    (cart, running)
}

#[test]
fn other_sites_neither_read_nor_change_anything() {
    let port = free_port().unwrap();
    let _running = running(port);
    let own = format!("Host: 127.0.0.1:{port}");
    let (rebound, there) =
        (format!("Host: evil.example:{port}"), format!("Origin: http://evil.example:{port}"));
    let off = "{\"enabled\": false}";
    for (method, path, body) in [
        ("GET", "/frame.jpg", ""),
        ("GET", "/stream.mjpg", ""),
        ("GET", "/status", ""),
        ("GET", "/metrics", ""),
        ("GET", "/", ""),
        ("PUT", "/api/v1/overlay", off),
    ] {
        for headers in
            [vec![rebound.as_str(), &there], vec![&own, "Origin: http://evil.example"], vec![&rebound]]
        {
            let answer = ask(port, method, path, &headers, body).unwrap();
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}: {}", answer.text());
        }
    }
    assert_eq!(ask(port, "PUT", "/api/v1/overlay", &[&own], off).unwrap().status, 403, "no origin at all");
    let picture =
        [own.as_str(), "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"];
    assert_eq!(
        ask(port, "GET", "/frame.jpg", &picture, "").unwrap().status,
        403,
        "a picture in another's page"
    );
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(status(port).unwrap()["ai"], "on");

    for path in ["/", "/page.js", "/page.css", "/status", "/metrics", "/frame.jpg", "/absent"] {
        let answer = ask(port, "GET", path, &[&own], "").unwrap();
        for header in [
            "x-frame-options: deny",
            "cross-origin-resource-policy: same-origin",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "frame-ancestors 'none'",
            "default-src 'none'; script-src 'self'",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{path}: {header} is missing in {}", answer.head);
        }
    }
}

#[test]
fn every_picture_comes_with_its_own_state() {
    let port = free_port().unwrap();
    let (_cart, running) = running(port);
    let mut stream = connect(port).unwrap();
    write!(stream, "GET /stream.mjpg HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
    let mut states = vec![];
    let (mut seen, mut chunk) = (vec![], [0; 65536]);
    while states.len() < 60 {
        if states.len() == 10 {
            request(port, "PUT", "/api/v1/overlay", "{\"enabled\": false}").unwrap();
        }
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "the stream ended");
        seen.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        states = text
            .split("x-nervelight-state: ")
            .skip(1)
            .filter_map(|s| Some(s.split_once("\r\n")?.0.to_owned()))
            .collect();
    }
    let first: serde_json::Value = serde_json::from_str(&states[0]).unwrap();
    assert!(first["ai"] == "on" && first["signal"] == true && first["at_ms"].as_f64() > Some(0.0), "{first}");
    let switched = states.iter().position(|s| s.contains("disabled")).unwrap();
    assert!(states[switched..].iter().all(|s| s.contains("disabled")), "{states:?}");
    assert!(running.terminate().unwrap().success);
}

#[test]
fn the_range_of_the_source_is_minded() {
    // videotestsrc writes 16 for black in either range.
    for (range, expected) in [("bt601", 0.0), ("1:4:0:0", 16.0)] {
        let port = free_port().unwrap();
        let cart = Cart::new(&format!(
            "model = {{ bundle = \"BUNDLE\" }}\nsinks = [{{ kind = \"preview\" }}]\noverlay = {{ enabled = false }}\n\
             http = {{ listen = \"127.0.0.1:{port}\" }}\n[source]\nkind = \"pipeline\"\npipeline = '''videotestsrc \
             is-live=true pattern=black ! \
             video/x-raw,format=I420,width=640,height=480,framerate=15/1,colorimetry=(string){range}'''"
        ))
        .unwrap();
        let _running = cart.start().unwrap();
        let jpeg = wait_for("a picture", || request(port, "GET", "/frame.jpg", "")).unwrap();
        std::fs::write(cart.path("black.jpg"), jpeg).unwrap();
        let picture = &decode(&cart.path("black.jpg")).unwrap()[0];
        // As the decoder gives it; a JPEG's own range is full.
        let full = |luma: u8| {
            if picture.full_range { f64::from(luma) } else { (f64::from(luma) - 16.0) * 255.0 / 219.0 }
        };
        assert!(
            picture.luma.iter().all(|&luma| (full(luma) - expected).abs() < 3.0),
            "{range}: {}",
            picture.luma[0]
        );
    }
}

#[test]
fn idle_connections_end() {
    let port = free_port().unwrap();
    let _running = running(port);
    // Nothing asked, half a head, a head whose body never comes, and one that was answered and kept.
    let mut idle: Vec<_> = (0..4).map(|_| connect(port).unwrap()).collect();
    write!(idle[1], "GET / HTTP/1.1\r\nHost: lo").unwrap();
    let (host, origin) = (format!("Host: localhost:{port}"), format!("Origin: http://localhost:{port}"));
    let head = format!("{host}\r\n{origin}\r\nContent-Type: application/json\r\n");
    write!(idle[2], "PUT /api/v1/overlay HTTP/1.1\r\n{head}Content-Length: 20\r\n\r\n{{").unwrap();
    write!(idle[3], "GET /status HTTP/1.1\r\n{host}\r\n\r\n").unwrap();
    for (n, stream) in idle.iter_mut().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // With an answer, without one, or by a reset; a time-out of this end would be no end.
        if let Err(error) = stream.read_to_end(&mut vec![]) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{n}");
        }
    }
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let port = free_port().unwrap();
    let _running = running(port);
    let mut crowd = vec![];
    for n in 0..200 {
        crowd.push(connect(port).unwrap());
        if n % 60 == 59 {
            std::thread::sleep(Duration::from_millis(1100));
        }
    }
    let begun = Instant::now();
    assert!(status(port).is_some(), "the page is reached beside 200 idle connections");
    assert!(begun.elapsed() < Duration::from_secs(5), "before they end by themselves: {:?}", begun.elapsed());
}

#[test]
fn the_page_is_reached_though_descriptors_are_few() {
    let port = free_port().unwrap();
    let cart = live(port, "");
    let daemon = nervelight_tests::program("nervelightd").unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -n 128; exec \"$0\" run --config \"$1\""])
        .arg(daemon)
        .arg(cart.path("cart.toml"));
    let _running = cart.start_as(command).unwrap();
    wait_for("the overlay", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    let _crowd: Vec<_> = (0..120).map(|_| connect(port)).collect();
    wait_for("the page beside 120 idle connections", || status(port)).unwrap();
    assert!(request(port, "GET", "/frame.jpg", "").is_some());
}

#[test]
fn a_slow_reader_is_dropped() {
    let port = free_port().unwrap();
    let _running = running(port);
    let mut stream = connect(port).unwrap();
    write!(stream, "GET /stream.mjpg HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
    let watched = || {
        let preview = status(port)?["sinks"][0]["frames"].as_u64()?;
        Some(preview)
    };
    wait_for("pictures", || watched().filter(|&n| n > 10)).unwrap();
    // Nothing is read: buffers fill, then the connection is given up, and nobody looks any more.
    wait_for("the end of the stream", || {
        let before = watched()?;
        std::thread::sleep(Duration::from_secs(1));
        (watched()? == before).then_some(())
    })
    .unwrap();
}

#[test]
fn a_proxy_on_this_machine_brings_others() {
    let port = free_port().unwrap();
    let config = |listen: &str, more: &str| {
        Cart::new(&format!(
            "source = {{ kind = \"phantom\" }}\nmodel = {{ bundle = \"BUNDLE\" }}\nsinks = [{{ kind = \"preview\" }}]\n\
             sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}\n\
             [http]\nlisten = \"{listen}:{port}\"\n{more}"
        ))
        .unwrap()
    };
    for more in ["", "proxy_hosts = [\"cart7.example.org\"]"] {
        let said = config("0.0.0.0", more).refused().unwrap();
        assert!(said.contains("http.listen: is not on loopback") && said.contains("http.tokens"), "{said}");
    }
    let wrong = config("127.0.0.1", "proxy_hosts = [\"https://x/\"]").refused().unwrap();
    assert!(wrong.contains("http.proxy_hosts: must be names"), "{wrong}");

    let cart = config("127.0.0.1", "proxy_hosts = [\"cart7.example.org\"]");
    let running = cart.start().unwrap();
    wait_for("the daemon", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    let proxied = ["Host: cart7.example.org", "Origin: https://cart7.example.org"];
    assert_eq!(ask(port, "PUT", "/api/v1/overlay", &proxied, "{\"enabled\": false}").unwrap().status, 204);
    let who = ask(port, "GET", "/api/v1/session", &proxied, "").unwrap();
    assert!(who.text().contains("\"role\":\"operate\""), "to change the model takes a token: {}", who.text());
    let other = ["Host: cart8.example.org", "Origin: https://cart8.example.org"];
    assert_eq!(ask(port, "PUT", "/api/v1/overlay", &other, "{\"enabled\": true}").unwrap().status, 403);
    assert!(running.terminate().unwrap().success);
}

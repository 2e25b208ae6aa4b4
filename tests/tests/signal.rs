//! What the signal is doing is found in the picture, shown on it and beside it, counted, and left by itself.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::path::Path;

use nervelight_tests::screen::{Clip, Screen};
use nervelight_tests::web::{connect, request, status};
use nervelight_tests::{Cart, free_port, wait_for};
use serde_json::Value;

const FPS: u32 = 20;
const BLUE: [u8; 3] = [41, 240, 110];

/// What a part of the clip shows, for how many frames, and the state it comes to.
const PARTS: [(&str, u64, &str); 9] = [
    ("scan", 40, "ok"),
    ("still", 40, "frozen"),
    ("scan", 30, "ok"),
    ("black", 30, "black"),
    ("scan", 30, "ok"),
    ("blue", 30, "no_input"),
    ("scan", 30, "ok"),
    ("bars", 30, "no_input"),
    ("scan", 40, "ok"),
];

fn clip(path: &Path) {
    let mut screen = Screen::new(1280, 720, 5);
    let mut clip = Clip::new(path, 1280, 720, FPS).unwrap();
    let mut n = 0;
    for (what, frames, _) in PARTS {
        for frame in 0..frames {
            match what {
                "scan" | "still" => {
                    if frame == 0 {
                        screen.clear([0, 128, 128]);
                    }
                    n += u64::from(what == "scan");
                    screen.scan(n, [350, 150], 1.0).unwrap();
                    // Its clock and cursor go on.
                    screen.interface(frame);
                }
                "black" => screen.clear([0, 128, 128]),
                "blue" => screen.clear(BLUE),
                _ => screen.bars(),
            }
            clip.push(&screen).unwrap();
        }
    }
    clip.finish().unwrap();
}

/// States of the pictures on the page and when they arrived, until the stream ends.
fn states(port: u16) -> Vec<(String, String, f64)> {
    let mut stream = connect(port).unwrap();
    write!(stream, "GET /stream.mjpg HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
    let (mut bytes, mut chunk) = (vec![], [0; 1 << 16]);
    // Ends with the daemon; by time, if its clip hangs.
    while let Ok(n) = stream.read(&mut chunk)
        && n > 0
    {
        bytes.extend_from_slice(&chunk[..n]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let heads = text.split("x-nervelight-state: ").skip(1).filter_map(|part| part.split_once("\r\n"));
    let state = |(head, _): (&str, &str)| {
        let state: Value = serde_json::from_str(head).unwrap();
        let text = |key: &str| state[key].as_str().unwrap().to_owned();
        (text("picture"), text("ai"), state["at_ms"].as_f64().unwrap())
    };
    heads.map(state).collect()
}

#[test]
fn each_state_is_found_in_half_a_second_shown_counted_and_left() {
    let port = free_port().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "file", path = "clip.mkv", paced = true }}
        model = {{ bundle = "BUNDLE" }}
        # However busy the machine is.
        sync = {{ max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
        http = {{ listen = "127.0.0.1:{port}" }}
        report = {{ path = "report.json" }}
        sinks = [{{ kind = "preview" }}]
        "#
    ))
    .unwrap();
    // The folder is there only now.
    clip(&cart.path("clip.mkv"));
    let running = cart.start().unwrap();
    wait_for("frames", || status(port).filter(|s| s["frames_in"].as_u64() > Some(0))).unwrap();
    let watching = std::thread::spawn(move || states(port));
    let metrics = wait_for("a state that is counted", || {
        let text = String::from_utf8(request(port, "GET", "/metrics", "")?).ok()?;
        text.contains("nervelight_signal_transitions_total{state=\"no_input\"} 1").then_some(text)
    })
    .unwrap();
    assert!(metrics.contains("nervelight_signal_transitions_total{state=\"frozen\"} 1"), "{metrics}");
    let ended = running.end().unwrap();
    assert!(ended.success, "{}", ended.stderr);
    for word in ["no input", "the picture is black", "there is a picture again"] {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }

    let seen = watching.join().unwrap();
    let mut changes: Vec<&(String, String, f64)> = vec![];
    for state in &seen {
        if changes.last().is_none_or(|last| last.0 != state.0) {
            changes.push(state);
        }
    }
    let expected: Vec<_> = PARTS.iter().map(|part| part.2).collect();
    assert_eq!(changes.iter().map(|c| c.0.as_str()).collect::<Vec<_>>(), expected, "{changes:?}");
    // From one change of what is shown to its being found, on the frames' own clock.
    let mut begun = 0;
    let begins: Vec<f64> = PARTS
        .iter()
        .map(|part| {
            begun += part.1;
            (begun - part.1) as f64 * 1000.0 / f64::from(FPS)
        })
        .collect();
    // The clip began when its first change was found, less the longest time that may take.
    for pair in 1..changes.len() - 1 {
        let took = (changes[pair + 1].2 - changes[pair].2) - (begins[pair + 1] - begins[pair]);
        assert!(took.abs() <= 500.0, "{} to {}: {took} ms apart", changes[pair].0, changes[pair + 1].0);
    }
    for (picture, ai, _) in &seen {
        assert!(["ok", "frozen"].contains(&picture.as_str()) || ai == "off", "{picture}: {ai}");
    }
    assert!(seen.iter().any(|(picture, ai, _)| picture == "frozen" && ai == "on"), "the mask stays");
    let signal = &cart.report().unwrap()["signal"];
    assert_eq!(signal["entered"]["no_input"], 2, "{signal}");
    assert_eq!((&signal["entered"]["black"], &signal["entered"]["frozen"]), (&1.into(), &1.into()));
    for (state, least) in [("frozen", 1.3), ("black", 0.9), ("no_input", 1.8)] {
        assert!(signal["seconds"][state].as_f64() > Some(least), "{state}: {signal}");
    }
}

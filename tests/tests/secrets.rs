//! Credentials in a configuration stay in the process, whatever it says and wherever.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;

use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, free_port, wait_for};

/// A password in a URI, one as a property, a token in a query.
const PLANTED: [&str; 3] = ["planted-in-uri", "planted prop", "planted-token"];

fn assert_none(what: &str, text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "{secret} stands in {what}:\n{text}");
    }
}

fn cart(port: u16, source: &str, more: &str) -> Cart {
    let config = format!(
        r#"
        source = {{ kind = "pipeline", pipeline = '{source}', reconnect = false }}
        model = {{ bundle = "BUNDLE" }}
        report = {{ path = "report.json" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        sinks = [{{ kind = "preview" }}{more}]
        "#
    );
    Cart::new(&config).unwrap()
}

#[test]
fn a_source_that_works_keeps_its_secrets() {
    let port = free_port().unwrap();
    // An element that holds credentials, and is never used, beside the picture.
    let source = r#"souphttpclientsink async=false user-id=u user-pw="planted prop"
        location=http://u:planted-in-uri@127.0.0.1:9/?token=planted-token
        videotestsrc is-live=true ! video/x-raw,width=640,height=480,framerate=15/1"#;
    let cart = cart(port, &source.split_whitespace().collect::<Vec<_>>().join(" "), "");
    let checked = cart.run("check").unwrap();
    assert!(
        checked.success && checked.stdout.contains("user-pw=\"***\""),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    assert_none("check", &format!("{}{}", checked.stdout, checked.stderr));
    let running = cart.start().unwrap();
    let found = wait_for("pictures", || status(port).filter(|s| s["frames_out"].as_u64() > Some(5))).unwrap();
    assert!(found["source"].as_str().unwrap().contains("http://***@127.0.0.1:9/?token=***"), "{found:#}");
    for path in ["/status", "/metrics"] {
        assert_none(path, &String::from_utf8_lossy(&request(port, "GET", path, "").unwrap()));
    }
    let ended = running.terminate().unwrap();
    assert!(ended.success && ended.stderr.contains("user-pw"), "{}", ended.stderr);
    assert_none("the log", &format!("{}{}", ended.stdout, ended.stderr));
    assert_none("the report", &cart.report().unwrap().to_string());
}

#[test]
fn nor_are_they_in_what_an_element_says() {
    // Somebody listens who is no server; and nobody does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    std::thread::spawn(move || silent.incoming().for_each(drop));
    let closed = free_port().unwrap();
    for source in [
        format!("rtspsrc location=rtsp://u:planted-in-uri@{address}/us user-pw=\"planted prop\" ! decodebin"),
        format!("rtspsrc location=rtsp://u:planted-in-uri@127.0.0.1:{closed}/us?token=planted-token ! decodebin"),
        "souphttpsrc location=http://u:planted-in-uri@127.0.0.1:9/ retries=\"planted prop\" user-pw=\"planted prop\" ! \
         decodebin"
            .into(),
        "rtspsrc location=rtsp://u:planted-in-uri@h/ user-pww=\"planted prop\" user-pw=\"planted prop\" ! decodebin".into(),
        "rtspsrc location=rtsp://u:planted-in-uri@h/ user-pw=\"planted prop\" ! nosuchelement".into(),
    ] {
        let cart = cart(free_port().unwrap(), &source, "");
        assert_none(&source, &cart.refused().unwrap());
        let checked = cart.run("check").unwrap();
        assert_none(&format!("check of {source}"), &format!("{}{}", checked.stdout, checked.stderr));
    }
    // A mistake in the file quotes its value.
    let cart = Cart::new("source = { seed = \"rtsp://u:planted-in-uri@h/\" }").unwrap();
    assert_none("a mistake in the file", &cart.refused().unwrap());
}

#[test]
fn nor_in_the_failure_of_a_sink() {
    let port = free_port().unwrap();
    let sink = r#", { kind = "display", element = 'identity error-after=5 ! souphttpclientsink user-pw="planted prop"
        location=http://u:planted-in-uri@127.0.0.1:9/?token=planted-token' }"#;
    let sink = sink.split_whitespace().collect::<Vec<_>>().join(" ");
    let cart =
        cart(port, "videotestsrc is-live=true ! video/x-raw,width=640,height=480,framerate=15/1", &sink);
    let running = cart.start().unwrap();
    let found =
        wait_for("its failure", || status(port).filter(|s| s["sinks"][1]["failed"].is_string())).unwrap();
    assert_none("/status", &found.to_string());
    assert_none("/metrics", &String::from_utf8_lossy(&request(port, "GET", "/metrics", "").unwrap()));
    let ended = running.terminate().unwrap();
    assert_none("the log", &format!("{}{}", ended.stdout, ended.stderr));
    assert_none("the report", &cart.report().unwrap().to_string());
}

#[test]
fn no_library_keeps_or_sends_anything_about_the_machine() {
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", frames = 5 }
        model = { bundle = "BUNDLE" }
        engine = { backend = "onnx" }
        http = { enabled = false }
        sinks = [{ kind = "null" }]
        "#,
    )
    .unwrap();
    // The libraries are found in the cache of a home that is otherwise empty.
    let real = std::path::PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let real = std::env::var_os("XDG_CACHE_HOME").map_or(real, Into::into);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".cache")).unwrap();
    std::os::unix::fs::symlink(real.join("nervelight"), home.path().join(".cache/nervelight")).unwrap();
    let mut command = cart.command("run").unwrap();
    command.env("HOME", home.path()).env_remove("XDG_CACHE_HOME").env_remove("ORT_DISABLE_TELEMETRY");
    let ended = nervelight_tests::run(&mut command).unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let names = |path: &str| -> Vec<_> {
        let entries = std::fs::read_dir(home.path().join(path)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("."), [".cache"]);
    let known = ["nervelight", "gstreamer-1.0"];
    let others: Vec<_> = names(".cache").into_iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
}

//! `check` finds what `run` would stumble over, and says it as `run` would.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use nervelight_tests::{Cart, Ended, free_port, run};

fn deep(cart: &Cart) -> Ended {
    let mut command = cart.command("check").unwrap();
    run(command.arg("--deep")).unwrap()
}

#[test]
fn what_cannot_be_written_or_taken_is_found() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom" }}
        model = {{ bundle = "BUNDLE" }}
        report = {{ path = "folder.json" }}
        http = {{ listen = "{address}" }}
        [[sinks]]
        kind = "file"
        path = "/proc/nerve.mp4"
        [[sinks]]
        kind = "file"
        path = "good.mp4"
        overwrite = true
        "#
    ))
    .unwrap();
    fs::create_dir(cart.path("folder.json")).unwrap();
    fs::write(cart.path("good.mp4"), "kept").unwrap();
    let ended = cart.run("check").unwrap();
    assert!(!ended.success);
    for words in [
        "report.path",
        "folder.json is a folder",
        "sinks[0].path: /proc/nerve.mp4 cannot be written",
        &format!("http.listen = \"{address}\" cannot be used"),
    ] {
        assert!(ended.stderr.contains(words), "{words:?} is missing in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("sinks[1]"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(cart.path("good.mp4")).unwrap(), "kept");
    assert_eq!(fs::read_dir(cart.dir.path()).unwrap().count(), 3, "nothing is left behind");

    fs::remove_dir(cart.path("folder.json")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(cart.path("folder.json")).status().unwrap().success());
    let ended = cart.run("check").unwrap();
    assert!(ended.stderr.contains("report.path") && ended.stderr.contains("is a pipe"), "{}", ended.stderr);
}

#[test]
fn deep_opens_the_source() {
    let config = |source: &str| {
        Cart::new(&format!(
            "source = {source}\nmodel = {{ bundle = \"BUNDLE\" }}\nhttp = {{ enabled = false }}\n\
             sinks = [{{ kind = \"null\" }}]"
        ))
        .unwrap()
    };
    let pipeline = |text: &str| config(&format!("{{ kind = \"pipeline\", pipeline = \"{text}\" }}"));
    let ended = deep(&pipeline("videotestsrc ! video/x-raw,format=NV12,width=640,height=480,framerate=25/1"));
    assert!(ended.success && ended.stdout.contains("640x480 NV12"), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("25/1 fps"), "{}", ended.stdout);
    assert!(
        deep(&config("{ kind = \"phantom\", fps = 20 }")).stdout.contains("580x420 I420 1:4:0:0 20/1 fps")
    );

    let small = pipeline("videotestsrc ! video/x-raw,width=320,height=240");
    assert!(small.run("check").unwrap().success, "not seen without opening it");
    assert!(deep(&small).stderr.contains("frames are 320x240"));
    let absent = pipeline("filesrc location=/absent.mp4 ! decodebin");
    assert!(deep(&absent).stderr.contains("absent.mp4"));
}

#[test]
fn a_mountain_of_mistakes_is_found_at_once() {
    let mut text = String::from("sinks = [{ kind = \"null\" }]\n[engine]\n");
    for n in 0..300_000 {
        text += &format!("key{n} = 1\n");
    }
    let cart = Cart::new(&text).unwrap();
    let begun = Instant::now();
    let said = cart.refused().unwrap();
    // A debug build takes a good part of it for the text alone.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(said.contains("cart.toml:3: engine.key0: unknown field") && said.contains("more"), "{said}");
    assert!(said.lines().count() < 30, "{said}");

    let cart = Cart::new("[engine]\nthreads = 1\n[log]\ninterval_s = 1\ninterval_s = 2\n").unwrap();
    let said = cart.refused().unwrap();
    assert!(said.contains("cart.toml:5: log.interval_s: is set twice"), "{said}");
}

#[test]
fn a_path_is_shown_as_it_is_called() {
    let cart = Cart::new(
        "source = { kind = \"file\", path = \"Scan ä 100%.mp4\" }\nmodel = { bundle = \"BUNDLE\" }\n\
         http = { enabled = false }\nsinks = [{ kind = \"null\" }]",
    )
    .unwrap();
    fs::write(cart.path("Scan ä 100%.mp4"), [0x55; 5000]).unwrap();
    let said = cart.refused().unwrap();
    assert!(said.contains("Scan ä 100%.mp4") && !said.contains("%20"), "{said}");
}

#[test]
fn a_recording_over_a_hard_link_of_the_source_or_of_another_one_is_refused() {
    let cart = Cart::new(
        r#"
        source = { kind = "file", path = "clip.mp4" }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        [[sinks]]
        kind = "file"
        path = "numbered.mp4"
        [[sinks]]
        kind = "file"
        path = "link.mp4"
        overwrite = true
        [[sinks]]
        kind = "file"
        path = "other.mp4"
        overwrite = true
        [[sinks]]
        kind = "file"
        path = "again.mp4"
        overwrite = true
        "#,
    )
    .unwrap();
    for (file, links) in
        [("clip.mp4", ["link.mp4", "numbered.mp4"]), ("other.mp4", ["again.mp4", "spare.mp4"])]
    {
        fs::write(cart.path(file), "precious").unwrap();
        for link in links {
            fs::hard_link(cart.path(file), cart.path(link)).unwrap();
        }
    }
    for said in [cart.refused().unwrap(), cart.run("check").unwrap().stderr] {
        for (key, other) in [("sinks[1].path", "the source"), ("sinks[3].path", "sinks[2].path")] {
            let same = said.lines().find(|line| line.contains(&format!("{key}: "))).unwrap_or(&said);
            assert!(same.contains(&format!("is the same file as {other}, by another name")), "{said}");
        }
        assert!(!said.contains("sinks[0].path:"), "it is numbered: {said}");
        assert_eq!(fs::read_to_string(cart.path("clip.mp4")).unwrap(), "precious");
    }
}

#[test]
fn run_refuses_the_files_that_check_refuses() {
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", frames = 3 }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        report = { path = "folder.json" }
        [[sinks]]
        kind = "file"
        path = "/proc/nerve.mp4"
        [[sinks]]
        kind = "file"
        path = "pipe.mp4"
        overwrite = true
        [[sinks]]
        kind = "file"
        path = "taken.mp4"
        "#,
    )
    .unwrap();
    fs::create_dir(cart.path("folder.json")).unwrap();
    for pipe in ["pipe.mp4", "taken.mp4"] {
        assert!(std::process::Command::new("mkfifo").arg(cart.path(pipe)).status().unwrap().success());
    }
    let mistakes = |said: &str| -> Vec<String> {
        said.lines().map(|line| line.trim_start_matches("nervelightd: ").to_owned()).collect()
    };
    let (run, check) = (mistakes(&cart.refused().unwrap()), mistakes(&cart.run("check").unwrap().stderr));
    // What the log of `check` says of the engine comes before.
    assert_eq!(run.len(), 3, "a recording that gets a number needs no place: {run:#?}");
    for mistake in &run {
        assert!(check.contains(mistake), "{mistake:?} is missing in {check:#?}");
    }
}

#[test]
fn a_sinks_port_that_is_taken_is_found() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let check = |sink: &str| {
        let cart = Cart::new(&format!(
            "source = {{ kind = \"phantom\" }}\nmodel = {{ bundle = \"BUNDLE\" }}\n\
             http = {{ listen = \"127.0.0.1:{}\" }}\nsinks = [{sink}]",
            free_port().unwrap()
        ));
        cart.unwrap().run("check").unwrap()
    };
    let (tcp, udp) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    for (key, sink) in [
        ("listen", format!("{{ kind = \"rtsp\", listen = \"{tcp}\", path = \"/nerve\" }}")),
        ("udp", format!("{{ kind = \"webrtc\", udp = \"{udp}\" }}")),
        // Not this machine's.
        ("udp", "{ kind = \"webrtc\", udp = \"192.0.2.1:8322\" }".into()),
    ] {
        let ended = check(&sink);
        let words = format!("{key} = \"");
        assert!(!ended.success && ended.stderr.contains(&words), "{sink}: {}{}", ended.stdout, ended.stderr);
    }
}

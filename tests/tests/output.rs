//! Output that nobody reads, or that cannot be written, ends no program.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{PipeReader, Write};
use std::process::{Command, Stdio};

use nervelight_tests::video::decode;
use nervelight_tests::{Cart, program, wait_for};

const CONFIG: &str = r#"
    source = { kind = "phantom", frames = 20, paced = false }
    model = { bundle = "BUNDLE" }
    http = { enabled = false }
    report = { path = "report.json" }
    sinks = [{ kind = "file", path = "out.mkv" }]
    "#;

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A full pipe whose reader sleeps.
fn asleep() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'\n'; 1 << 16]).unwrap();
    (reader, writer.into())
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn the_video_goes_on_without_a_reader() {
    for (name, stream) in [("closed", closed as fn() -> Stdio), ("full", full)] {
        let cart = Cart::new(CONFIG).unwrap();
        let status = cart.command("run").unwrap().stdout(stream()).stderr(stream()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
        assert_eq!(cart.report().unwrap()["frames_out"], 20, "{name}");
        assert_eq!(decode(&cart.path("out.mkv")).unwrap().len(), 20, "{name}");
    }
}

#[test]
fn a_reader_of_the_log_who_sleeps_keeps_no_program_from_its_end() {
    for (bundle, code) in [("BUNDLE", 0), ("missing.bundle", 1)] {
        let cart = Cart::new(&CONFIG.replace("BUNDLE", bundle)).unwrap();
        let (_reader, stderr) = asleep();
        let mut child = cart.command("run").unwrap().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let ended = wait_for("its end", || child.try_wait().unwrap());
        child.kill().unwrap();
        assert_eq!(ended.unwrap().code(), Some(code), "{bundle}");
    }
}

#[test]
fn a_command_ends_quietly_when_its_reader_has_seen_enough() {
    let cart = Cart::new(CONFIG).unwrap();
    let phantom = || {
        let mut command = Command::new(program("nervelight-train").unwrap());
        command.args(["phantom", "--frames", "2", "--patients", "2", "--out"]).arg(cart.path("data"));
        command
    };
    for mut command in [cart.command("check").unwrap(), phantom()] {
        let output = command.stdout(closed()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{command:?}: {said}");
    }
}

#[test]
fn a_command_whose_output_is_lost_says_so() {
    let cart = Cart::new(CONFIG).unwrap();
    let output = cart.command("check").unwrap().stdout(full()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("some of the output is missing"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

//! The command line: a first try without a configuration, the log, completions.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use nervelight_tests::video::decode;
use nervelight_tests::{Cart, Ended, Signal, demo_bundle, free_port, program, run};

fn daemon(arguments: &[&str]) -> Command {
    let mut command = Command::new(program("nervelightd").unwrap());
    command.args(arguments).env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
    command
}

fn says(arguments: &[&str]) -> Ended {
    run(&mut daemon(arguments)).unwrap()
}

/// A cart whose configuration has a short clip as its source.
fn short(http: &str) -> Cart {
    Cart::new(&format!(
        "source = {{ kind = \"phantom\", frames = 5, paced = false }}\nmodel = {{ bundle = \"BUNDLE\" }}\n\
         http = {http}\nsinks = [{{ kind = \"file\", path = \"clip.mkv\" }}]"
    ))
    .unwrap()
}

#[test]
fn a_file_is_segmented_without_a_configuration() {
    let cart = short("{ enabled = false }");
    assert!(cart.run("run").unwrap().success);
    let bundle = demo_bundle();
    let mut command =
        daemon(&["run", "--source", "clip.mkv", "--sink", "null", "--record", "out.mp4", "--bundle"]);
    // The page's port may be taken by another test: a configuration says where it is.
    command.arg(bundle.canonicalize().unwrap()).current_dir(cart.dir.path());
    std::fs::write(
        cart.path("page.toml"),
        format!("http = {{ listen = \"127.0.0.1:{}\" }}", free_port().unwrap()),
    )
    .unwrap();
    let ended = run(command.args(["--config", "page.toml"])).unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(decode(&cart.path("out.mp4")).unwrap().len(), 5);
}

#[test]
fn options_replace_what_a_configuration_says() {
    let cart = short("{ enabled = false }");
    let out = cart.path("other.mkv");
    let mut command = cart.command("run").unwrap();
    let ended = run(command.args(["--sink", "null", "--record"]).arg(&out)).unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(decode(&out).unwrap().len(), 5);
    assert!(!cart.path("clip.mkv").exists(), "its own sink is replaced");
}

#[test]
fn the_phantom_needs_one_option() {
    let mut command = daemon(&["run", "--source", "phantom"]);
    command.current_dir(nervelight_tests::root()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    // Another daemon may hold the port; then that is said, and nothing else.
    let heard = nervelight_tests::wait_for_line(stderr, |line| {
        (line.contains("running") || line.contains("Stop the program that holds the port")).then_some(())
    });
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM);
    child.wait().unwrap();
    heard.unwrap();
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    let ended = says(&["run"]);
    assert!(!ended.success && ended.stderr.contains("--source"), "{}", ended.stderr);
    let bundle = demo_bundle().display().to_string();
    let ended = says(&["check", "--source", "/absent.mp4", "--record", "out.avi", "--bundle", &bundle]);
    for word in ["the command line: --source: /absent.mp4", "Check the path", ".mp4 or .mkv"] {
        assert!(!ended.success && ended.stderr.contains(word), "{word:?} in {}", ended.stderr);
    }
    assert!(ended.stderr.contains("the command line: --record out.avi: must end in"), "{}", ended.stderr);
    let ended = says(&["check", "--source", "phantom", "--bundle", "/absent.bundle"]);
    let said = "the command line: --bundle /absent.bundle: does not exist. Check the path";
    assert!(!ended.success && ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn an_option_is_named_and_so_is_the_configuration_it_is_merged_into() {
    let cart = Cart::new(
        "source = { kind = \"phantom\", fps = 0 }\nmodel = { bundle = \"BUNDLE\" }\nhttp = { enabled = false }",
    )
    .unwrap();
    let mut command = cart.command("check").unwrap();
    let ended = run(command.args(["--sink", "preview", "--record", "out.avi"])).unwrap();
    for words in [
        "cart.toml: source.fps: must be from 1 to 240",
        "the command line: --sink preview: \"preview\" needs the page",
        "the command line: --record out.avi: must end in .mp4 or .mkv",
    ] {
        assert!(!ended.success && ended.stderr.contains(words), "{words:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("sinks["), "{}", ended.stderr);
}

#[test]
fn the_log_is_text_or_json_at_the_level_asked_for() {
    let cart = short("{ enabled = false }");
    let with = |arguments: &[&str]| run(cart.command("run").unwrap().args(arguments)).unwrap().stderr;
    assert!(with(&[]).contains(" INFO "));
    assert!(!with(&["--log-level", "error"]).contains("INFO"));
    let json = with(&["--log-format", "json"]);
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "engine ready"), "{json}");
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = says(&["completions", shell]);
        assert!(ended.success && ended.stdout.contains("completions") && ended.stdout.contains("bench"));
    }
}

#[test]
fn bench_refuses_an_output_that_cannot_be_written_before_it_measures() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let absent = folder.path().join("absent/bench.json");
    let bundle = demo_bundle().display().to_string();
    for (path, why) in [(&pipe, "is no regular file, it is a pipe"), (&absent, "cannot be written")] {
        let ended = says(&["bench", "--bundle", &bundle, "--json", path.to_str().unwrap()]);
        assert!(!ended.success && ended.stderr.contains("nervelightd: --json: "), "{}", ended.stderr);
        assert!(ended.stderr.contains(why) && !ended.stderr.contains(" ms ("), "{}", ended.stderr);
    }
}

//! Bad input: a message that says what, where and what to do; nothing lost.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use nervelight_tests::video::decode;
use nervelight_tests::{Cart, Ended, demo_bundle};

const QUIET: &str =
    "model = { bundle = \"BUNDLE\" }\nhttp = { enabled = false }\nsinks = [{ kind = \"null\" }]\n";

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

fn refused(config: &str) -> String {
    Cart::new(&format!("{QUIET}{config}")).unwrap().refused().unwrap()
}

/// A clip of the phantom, 580x420, one second.
fn clip(dir: &Path, name: &str) -> Vec<u8> {
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", frames = 30, paced = false }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ enabled = false }}
        overlay = {{ enabled = false }}
        sinks = [{{ kind = "file", path = "{}" }}]
        "#,
        dir.join(name).display()
    ))
    .unwrap();
    assert!(cart.run("run").unwrap().success);
    fs::read(dir.join(name)).unwrap()
}

fn over_file(path: &Path, sinks: &str) -> (Cart, Ended) {
    let cart = Cart::new(&format!(
        "source = {{ kind = \"file\", path = \"{}\" }}\nmodel = {{ bundle = \"BUNDLE\" }}\n\
         sync = {{ mode = \"exact\", engine_timeout_ms = 60000 }}\nhttp = {{ enabled = false }}\nreport = {{ path = \"report.json\" }}\n\
         sinks = [{sinks}]",
        path.display()
    ))
    .unwrap();
    let ended = cart.run("run").unwrap();
    (cart, ended)
}

#[test]
fn no_such_file() {
    let said = refused("source = { kind = \"file\", path = \"absent.mp4\" }");
    assert_says(&said, &["cart.toml:4: source.path", "absent.mp4", "No such file", "Check the path"]);
}

#[test]
fn no_such_device() {
    let cart = Cart::new(&format!(
        "{QUIET}source = {{ kind = \"v4l2\", device = \"/dev/video99\", reconnect = false }}"
    ))
    .unwrap();
    for said in [cart.refused().unwrap(), cart.run("check").unwrap().stderr] {
        assert_says(&said, &["source.device", "/dev/video99 does not exist", "v4l2-ctl --list-devices"]);
        assert!(!said.contains("cart.toml"), "it may be plugged in later; the configuration is good: {said}");
    }
}

#[test]
fn a_file_that_is_no_video() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    fs::write(&path, [0x55; 100_000]).unwrap();
    let (_cart, ended) = over_file(&path, "{ kind = \"null\" }");
    assert!(!ended.success);
    assert_says(&ended.stderr, &["clip.mp4", "no video that GStreamer knows"]);
}

#[test]
fn a_clip_damaged_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = clip(dir.path(), "clip.mkv");
    let (from, to) = (bytes.len() * 4 / 10, bytes.len() * 6 / 10);
    bytes[from..to].fill(0xa5);
    let path = dir.path().join("damaged.mkv");
    fs::write(&path, bytes).unwrap();
    let (cart, ended) = over_file(&path, "{ kind = \"file\", path = \"out.mkv\" }");
    assert!(!ended.success, "frames were lost: {}", ended.stderr);
    assert_says(&ended.stderr, &["damaged.mkv is", "copy or record the file again"]);
    // What came out of the decoder is all there.
    let report = cart.report().unwrap();
    let frames = report["frames_out"].as_u64().unwrap();
    assert!(frames >= 5, "{report:#}");
    assert_eq!(decode(&cart.path("out.mkv")).unwrap().len() as u64, frames);
}

#[test]
fn a_clip_that_ends_mid_frame() {
    let dir = tempfile::tempdir().unwrap();
    let whole = clip(dir.path(), "clip.mkv");
    let path = dir.path().join("cut.mkv");
    fs::write(&path, &whole[..whole.len() / 3]).unwrap();
    let (cart, ended) = over_file(&path, "{ kind = \"file\", path = \"out.mp4\" }");
    assert!(!ended.success);
    assert_says(&ended.stderr, &["cut.mkv is cut short", "copy or record the file again"]);
    let report = cart.report().unwrap();
    let frames = report["frames_out"].as_u64().unwrap();
    assert!((3..30).contains(&frames), "{report:#}");
    assert_eq!(decode(&cart.path("out.mp4")).unwrap().len() as u64, frames, "what there was is kept");
}

#[test]
fn a_recording_without_its_index() {
    // An MP4 whose index would stand at its end, cut before it.
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "videotestsrc num-buffers=60 ! video/x-raw,width=640,height=480 ! x264enc ! mp4mux ! filesink location={}",
        dir.path().join("clip.mp4").display()
    );
    let made = std::process::Command::new("gst-launch-1.0").arg("-q").args(text.split(' ')).status().unwrap();
    assert!(made.success());
    let whole = fs::read(dir.path().join("clip.mp4")).unwrap();
    let path = dir.path().join("cut.mp4");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (_cart, ended) = over_file(&path, "{ kind = \"null\" }");
    assert!(!ended.success);
    assert_says(&ended.stderr, &["cut.mp4", "damaged or incomplete"]);
}

#[test]
fn a_source_that_hangs() {
    const SIZE: &str = "video/x-raw,format=I420,width=640,height=480,framerate=30/1";
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fragments = [
        // Opening it waits for a writer, as a share does for its server.
        (format!("filesrc location={} ! decodebin", fifo.display()), "could not be opened within 30s"),
        (format!("appsrc caps={SIZE}"), "no frame and no end has come for 30s"),
        // Three frames, then nothing.
        (
            format!("videotestsrc num-buffers=3 ! {SIZE} ! concat name=c appsrc caps={SIZE} ! c. c."),
            "no frame and no end has come for 30s",
        ),
    ];
    std::thread::scope(|scope| {
        for (fragment, what) in &fragments {
            scope.spawn(move || {
                // A live one may be without signal.
                let source =
                    format!("source = {{ kind = \"pipeline\", pipeline = \"{fragment}\", live = false }}");
                assert_says(&refused(&source), &[fragment, what, "Check what it comes from"]);
            });
        }
    });
}

#[test]
fn frames_smaller_than_the_crop() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.mkv");
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "pipeline", reconnect = false, pipeline = "videotestsrc pattern=black num-buffers=20 is-live=true ! video/x-raw,width=320,height=240,framerate=20/1" }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ enabled = false }}
        report = {{ path = "report.json" }}
        sinks = [{{ kind = "file", path = "{}" }}]
        "#,
        out.display()
    ))
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    let words = ["320x240", "576x416", "Raise the source's resolution", "region.pad = true"];
    assert_says(&ended.stderr, &words);
    let report = cart.report().unwrap();
    assert_says(report["frames_problem"].as_str().unwrap(), &words);
    assert_eq!(report["frames_badged"], report["frames_out"], "{report:#}");
    let pictures = decode(&out).unwrap();
    let badge = &pictures[pictures.len() / 2];
    assert!(badge.luma[20 * 320 + 20..][..200].iter().any(|&l| l > 150), "white letters on black");
    assert!(badge.luma[150 * 320..].iter().all(|&l| l < 40), "the picture itself is as it was");
    let deep = nervelight_tests::run(cart.command("check").unwrap().arg("--deep")).unwrap();
    assert!(!deep.success);
    assert_says(&deep.stderr, &words);
}

#[test]
fn a_pipeline_that_cannot_be_built() {
    let said = refused("source = { kind = \"pipeline\", pipeline = \"nosuchelement\" }");
    assert_says(&said, &["nosuchelement", "cannot be built"]);
}

#[test]
fn bundles_that_were_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let to = dir.path().join(name);
        let status = std::process::Command::new("cp").arg("-r").arg(demo_bundle()).arg(&to).status().unwrap();
        assert!(status.success());
        to
    };
    let with = |bundle: &Path| {
        Cart::new(&format!(
            "source = {{ kind = \"phantom\", frames = 1 }}\nmodel = {{ bundle = \"{}\" }}\n\
             http = {{ enabled = false }}\nsinks = [{{ kind = \"null\" }}]",
            bundle.display()
        ))
        .unwrap()
        .refused()
        .unwrap()
    };
    let changed = copy("changed");
    let mut bytes = fs::read(changed.join("fp32.onnx")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(changed.join("fp32.onnx"), bytes).unwrap();
    assert_says(&with(&changed), &["fp32.onnx was changed", "Copy the bundle again"]);

    let missing = copy("missing");
    fs::remove_file(missing.join("fp32.onnx")).unwrap();
    assert_says(&with(&missing), &["fp32.onnx is missing", "Copy the bundle again"]);

    let shape = copy("shape");
    let manifest = fs::read_to_string(shape.join("manifest.json")).unwrap();
    fs::write(shape.join("manifest.json"), manifest.replace("416", "512")).unwrap();
    assert_says(&with(&shape), &["576x512", "576x416"]);

    assert_says(&with(&dir.path().join("absent")), &["model.bundle", "does not exist"]);
}

#[test]
fn every_mistake_in_a_configuration_at_once() {
    let cart = Cart::new(
        r#"
[source]
kind = "phantom"
device = "/dev/video0"
fps = 0
[model]
bundel = "x"
[engine]
threads = "many"
provider = "abacus"
[overlay]
opacity = 2.0
color = "red"
"#,
    )
    .unwrap();
    let said = cart.refused().unwrap();
    assert_says(
        &said,
        &["cart.toml:7: model.bundel", "cart.toml:9: engine.threads", "cart.toml:10: engine.provider"],
    );
    assert_says(&said, &["source.device: has no meaning", "source.fps: must be from 1 to 240"]);
    assert_says(
        &said,
        &["model.bundle: is missing", "overlay.opacity", "overlay.color", "sinks: are missing"],
    );
    assert_eq!(cart.run("check").unwrap().stderr, said, "check says the same as run");
}

#[test]
fn a_full_disk_while_recording() {
    // /dev/full takes no byte: what a file on a full disk does.
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", frames = 90, paced = false }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        report = { path = "report.json" }
        sinks = [{ kind = "file", path = "full.mp4", overwrite = true }, { kind = "file", path = "good.mp4" }]
        "#,
    )
    .unwrap();
    std::os::unix::fs::symlink("/dev/full", cart.path("full.mp4")).unwrap();
    let ended = cart.run("run").unwrap();
    assert!(!ended.success, "a recording that failed is not a success");
    assert_says(&ended.stderr, &["full.mp4", "the disk is full", "free some space"]);
    let report = cart.report().unwrap();
    assert_eq!(report["frames_out"], 90, "the video went on");
    assert_eq!(decode(&cart.path("good.mp4")).unwrap().len(), 90, "so did the other recording");
}

#[test]
fn a_recording_into_a_fifo() {
    let cart = Cart::new(&format!(
        "{}source = {{ kind = \"phantom\", frames = 3 }}",
        QUIET.replace("{ kind = \"null\" }", "{ kind = \"file\", path = \"pipe.mp4\", overwrite = true }")
    ))
    .unwrap();
    assert!(std::process::Command::new("mkfifo").arg(cart.path("pipe.mp4")).status().unwrap().success());
    for said in [cart.refused().unwrap(), cart.run("check").unwrap().stderr] {
        assert_says(&said, &["sinks[0].path", "is no regular file", "Choose another path"]);
    }
}

#[test]
fn a_report_into_a_fifo_or_over_another_file() {
    let report = |path: &str| {
        Cart::new(&format!(
            "{QUIET}source = {{ kind = \"phantom\", frames = 3 }}\nreport = {{ path = \"{path}\" }}\n"
        ))
        .unwrap()
    };
    let cart = report("pipe.json");
    assert!(std::process::Command::new("mkfifo").arg(cart.path("pipe.json")).status().unwrap().success());
    assert_says(&cart.refused().unwrap(), &["report.path", "is no regular file"]);
    assert_says(&report("cart.toml").refused().unwrap(), &["report.path", "must end in .json"]);
}

#[test]
fn a_display_without_a_screen() {
    if Path::new("/dev/dri").exists() {
        return;
    }
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", frames = 3 }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        sinks = [{ kind = "display" }]
        "#,
    )
    .unwrap();
    for verb in ["run", "check"] {
        let mut command = cart.command(verb).unwrap();
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        let ended = nervelight_tests::run(&mut command).unwrap();
        assert!(!ended.success);
        assert_says(&ended.stderr, &["sink display", "there is no screen", "remove this sink"]);
    }
}

#[test]
fn sound_without_video() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["sound.mp3", "sound.mp4"] {
        let path = dir.path().join(name);
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "sine=d=1"]).arg(&path);
        assert!(ffmpeg.status().unwrap().success());
        let (_cart, ended) = over_file(&path, "{ kind = \"null\" }");
        assert_says(&ended.stderr, &[name, "no video in it", "Choose one that holds video"]);
    }
}

#[test]
fn a_server_that_gives_nothing() {
    let source = |uri: &str| refused(&format!("source = {{ kind = \"file\", path = \"{uri}\" }}"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "rtsp"] {
        let said = source(&format!("{scheme}://{closed}/us"));
        assert_says(&said, &[&format!("{closed} cannot be reached"), "Check host and port"]);
    }
    let fragment = format!("souphttpsrc location=http://{closed}/us ! multipartdemux ! jpegdec");
    let said =
        refused(&format!("source = {{ kind = \"pipeline\", pipeline = \"{fragment}\", reconnect = false }}"));
    assert_says(&said, &["its server cannot be reached", "Check host and port"]);
    for (answer, words) in [
        ("401 Unauthorized", ["refuses to send it", "Check user name and password"]),
        ("404 Not Found", ["has no such stream", "Check the address after the host"]),
    ] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut client in server.incoming().map_while(Result::ok) {
                let mut asked = [0; 4096];
                let n = client.read(&mut asked).unwrap_or(0);
                let asked = String::from_utf8_lossy(&asked[..n]).into_owned();
                let protocol = if asked.contains("RTSP/1.0") { "RTSP/1.0" } else { "HTTP/1.1" };
                let number = asked.lines().find(|line| line.starts_with("CSeq")).unwrap_or("CSeq: 1");
                let _ = write!(client, "{protocol} {answer}\r\n{number}\r\nContent-Length: 0\r\n\r\n");
            }
        });
        for scheme in ["http", "rtsp"] {
            assert_says(&source(&format!("{scheme}://{address}/us")), &words);
        }
    }
}

#[test]
fn a_file_whose_size_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("two.ts");
    let mut both = vec![];
    for size in ["640x480", "800x600"] {
        let part = dir.path().join("part.ts");
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i"]).arg(format!("testsrc=d=1:s={size}:r=25"));
        assert!(ffmpeg.args(["-pix_fmt", "yuv420p"]).arg(&part).status().unwrap().success());
        both.extend(fs::read(part).unwrap());
    }
    fs::write(&path, both).unwrap();
    let (_cart, ended) = over_file(&path, "{ kind = \"null\" }");
    assert_says(&ended.stderr, &["changed from 640x480", "800x600", "Give the file one size"]);
    assert!(!ended.stderr.contains("max_diff"), "{}", ended.stderr);
}

#[test]
fn a_port_in_use() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let cart = Cart::new(&format!(
        "source = {{ kind = \"phantom\" }}\nmodel = {{ bundle = \"BUNDLE\" }}\n\
         http = {{ listen = \"{address}\" }}\nsinks = [{{ kind = \"preview\" }}]"
    ))
    .unwrap();
    assert_says(&cart.refused().unwrap(), &["http.listen", &address.to_string(), "Stop the program"]);
}

#[test]
fn a_missing_runtime_library() {
    let said = refused("source = { kind = \"phantom\" }\nengine = { library = \"absent.so\" }");
    assert_says(&said, &["absent.so", "pip install onnxruntime"]);
}

#[test]
fn a_file_is_never_read_and_written_at_once() {
    let cart = Cart::new(
        r#"
        source = { kind = "file", path = "clip.mp4" }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        [[sinks]]
        kind = "file"
        path = "clip.mp4"
        overwrite = true
        [[sinks]]
        kind = "file"
        path = "other.mp4"
        [[sinks]]
        kind = "file"
        path = "./other.mp4"
        "#,
    )
    .unwrap();
    fs::write(cart.path("clip.mp4"), "precious").unwrap();
    let said = cart.refused().unwrap();
    assert_says(&said, &["sinks[0].path: is also the source", "sinks[2].path: is also"]);
    assert!(!said.contains("sinks[1]"), "{said}");
    assert_eq!(fs::read_to_string(cart.path("clip.mp4")).unwrap(), "precious");
}

#[test]
fn check_builds_every_pipeline() {
    let cart = Cart::new(
        r#"
        source = { kind = "pipeline", pipeline = "videotestsrc ! nosuchelement" }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        sinks = [{ kind = "display", element = "nosuchsink" }, { kind = "file", path = "a.mp4", encoder = "nosuchencoder" }]
        "#,
    )
    .unwrap();
    let ended = cart.run("check").unwrap();
    assert!(!ended.success);
    assert_says(&ended.stderr, &["nosuchelement", "nosuchsink", "nosuchencoder"]);
}

#[test]
fn sound_that_is_longer_than_the_video_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sound.mkv");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=640x480:r=25"])
        .args(["-f", "lavfi", "-i", "sine=d=3", "-pix_fmt", "yuv420p"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let (cart, ended) = over_file(&path, "{ kind = \"null\" }");
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(cart.report().unwrap()["frames_out"], 25);
}

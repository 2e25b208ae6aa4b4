//! Every frame that went out is in every recording, whatever times it came with, and looks as it came.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nervelight_tests::video::decode;
use nervelight_tests::{Cart, Signal, wait_for};

/// A daemon that records `source` in both containers.
fn recording(source: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {source}
        model = {{ bundle = "BUNDLE" }}
        http = {{ enabled = false }}
        report = {{ path = "report.json" }}
        overlay = {{ enabled = false }}
        sinks = [{{ kind = "file", path = "out.mkv" }}, {{ kind = "file", path = "out.mp4" }}]
        "#
    ))
    .unwrap()
}

fn ffmpeg(arguments: &str, out: &Path) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(out)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "ffmpeg {arguments}");
}

/// Frames of a video as a player shows them.
fn frames(path: &Path) -> u64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-count_frames"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.split(|c: char| !c.is_ascii_digit()).find(|number| !number.is_empty()).unwrap().parse().unwrap()
}

/// Every frame that went out is in both files, in order; returns how many.
fn assert_recorded(cart: &Cart) -> u64 {
    let report = cart.report().unwrap();
    let out = report["frames_out"].as_u64().unwrap();
    for (sink, name) in ["out.mkv", "out.mp4"].into_iter().enumerate() {
        let sink = &report["sinks"][sink];
        let (kept, dropped) = (sink["frames"].as_u64().unwrap(), sink["dropped"].as_u64().unwrap());
        assert_eq!(kept + dropped, out, "{report:#}");
        let path = cart.path(name);
        assert_eq!(frames(&path), kept, "{name}: {report:#}");
        let pictures = decode(&path).unwrap();
        assert_eq!(pictures.len() as u64, kept, "{name}");
        assert!(pictures.is_sorted_by(|a, b| a.pts < b.pts), "{name}: PTS increase");
    }
    out
}

#[test]
fn a_file_without_time_stamps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raw.mjpg");
    ffmpeg("-f lavfi -i testsrc2=d=2:r=25:s=640x480 -c:v mjpeg -f mjpeg", &path);
    let cart = recording(&format!("{{ kind = \"file\", path = \"{}\" }}", path.display()));
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(assert_recorded(&cart), 50);
}

#[test]
fn a_network_camera_without_time_stamps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parts");
    ffmpeg("-f lavfi -i testsrc2=d=2:r=25:s=640x480 -c:v mjpeg -f mpjpeg", &path);
    let parts = std::fs::read(path).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let camera = thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        let _ = client.read(&mut [0; 4096]).unwrap();
        client
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=ffmpeg\r\n\r\n")
            .unwrap();
        for part in parts.chunks(parts.len() / 50) {
            client.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(40));
        }
    });
    let cart = recording(&format!(
        "{{ kind = \"pipeline\", pipeline = \"souphttpsrc location=http://{address}/ ! multipartdemux ! jpegdec\" }}"
    ));
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    camera.join().unwrap();
    assert!(assert_recorded(&cart) > 30);
    let pictures = decode(&cart.path("out.mkv")).unwrap();
    let length = pictures.last().unwrap().pts / 1_000_000;
    assert!((1200..6000).contains(&length), "frames keep the pace they came in: {length} ms");
}

#[test]
fn a_network_source_that_stalls() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sender = format!(
        "videotestsrc is-live=true ! video/x-raw,width=640,height=480,framerate=25/1 ! x264enc tune=zerolatency \
         key-int-max=12 speed-preset=ultrafast ! rtph264pay config-interval=1 ! udpsink host=127.0.0.1 port={port}"
    );
    let mut sender =
        Command::new("gst-launch-1.0").arg("-q").args(sender.split_whitespace()).spawn().unwrap();
    let signal = |signal| {
        rustix::process::kill_process(rustix::process::Pid::from_child(&sender), signal).unwrap();
    };
    let cart = recording(&format!(
        "{{ kind = \"pipeline\", pipeline = 'udpsrc address=127.0.0.1 port={port} \
         caps=\"application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96\" ! \
         rtpjitterbuffer latency=50 ! rtph264depay ! decodebin' }}"
    ));
    let running = cart.start().unwrap();
    wait_for("a recording", || cart.path("out.mp4").metadata().ok().filter(|m| m.len() > 0)).unwrap();
    thread::sleep(Duration::from_millis(1500));
    signal(Signal::STOP);
    thread::sleep(Duration::from_millis(1600));
    signal(Signal::CONT);
    thread::sleep(Duration::from_millis(1500));
    let ended = running.terminate();
    sender.kill().unwrap();
    sender.wait().unwrap();
    let ended = ended.unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert!(assert_recorded(&cart) > 40);
}

#[test]
fn a_file_of_variable_rate_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["slow.mkv", "slow.mp4", "slow.ts"] {
        let path = dir.path().join(name);
        // 30 frames a second that stand still for a second, and then come in threes.
        ffmpeg(
            "-f lavfi -i testsrc=d=4:r=30:s=640x480 -vf select=not(between(n\\,10\\,40))*(lt(n\\,60)+not(mod(n\\,3))) \
             -vsync vfr -pix_fmt yuv420p -c:v libx264",
            &path,
        );
        let there = frames(&path);
        let cart = recording(&format!("{{ kind = \"file\", path = \"{}\" }}", path.display()));
        let ended = cart.run("run").unwrap();
        assert!(ended.success, "{name}: {}", ended.stderr);
        assert_eq!(assert_recorded(&cart), there, "{name}");
    }
}

#[test]
fn what_a_recorder_loses_is_counted() {
    let cart = Cart::new(
        r#"
        source = { kind = "phantom", frames = 60, paced = false }
        model = { bundle = "BUNDLE" }
        http = { enabled = false }
        report = { path = "report.json" }
        sinks = [{ kind = "file", path = "out.mkv", encoder = "videorate max-rate=10 drop-only=true ! x264enc" }]
        "#,
    )
    .unwrap();
    let ended = cart.run("run").unwrap();
    assert!(ended.success && ended.stderr.contains("dropped frames"), "{}", ended.stderr);
    let report = cart.report().unwrap();
    let sink = &report["sinks"][0];
    let kept = frames(&cart.path("out.mkv"));
    assert!(kept < 40, "{kept}");
    assert_eq!((&sink["frames"], &sink["dropped_by"]["recorder"]), (&kept.into(), &(60 - kept).into()));
    assert_eq!(sink["dropped"], 60 - kept, "{report:#}");
}

/// Greys from black to white, 16 columns each.
fn ramp() -> Vec<u8> {
    (0..416).flat_map(|_| (0..576).map(|x| (x / 16 * 255 / 35) as u8)).collect()
}

#[test]
fn a_grey_is_the_same_grey_in_every_range_and_container() {
    let dir = tempfile::tempdir().unwrap();
    let grey = dir.path().join("ramp.gray");
    std::fs::write(&grey, ramp().repeat(3)).unwrap();
    let named = "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m";
    for (range, scaled) in [("pc", "full"), ("tv", "limited")] {
        for (codec, colours) in [
            ("libx264 -qp 0", named),
            ("libx264 -qp 0", ""),
            ("libx265 -x265-params lossless=1:log-level=none", named),
        ] {
            for container in ["mp4", "mkv"] {
                let what = format!("{range} {codec} {colours} {container}");
                let path = dir.path().join(format!("ramp.{container}"));
                ffmpeg(
                    &format!(
                        "-f rawvideo -pix_fmt gray -s 576x416 -r 25 -i {} \
                         -vf scale=in_range=full:out_range={scaled},format=yuv420p -color_range {range} {colours} \
                         -c:v {codec}",
                        grey.display()
                    ),
                    &path,
                );
                let cart = Cart::new(&format!(
                    r#"
                    source = {{ kind = "file", path = "{}" }}
                    model = {{ bundle = "BUNDLE" }}
                    http = {{ enabled = false }}
                    overlay = {{ enabled = false }}
                    [[sinks]]
                    kind = "file"
                    path = "out.mkv"
                    encoder = "x264enc pass=quant quantizer=0"
                    "#,
                    path.display()
                ))
                .unwrap();
                let ended = cart.run("run").unwrap();
                assert!(ended.success, "{what}: {}", ended.stderr);
                // What the crop is expanded by follows from the range that the frames have in the daemon.
                let pictures = decode(&cart.path("out.mkv")).unwrap();
                assert_eq!(pictures.len(), 3, "{what}");
                let grey = |luma: u8| match pictures[0].full_range {
                    true => f32::from(luma),
                    false => (f32::from(luma) - 16.0) * 255.0 / 219.0,
                };
                let off = pictures[0].luma.iter().zip(ramp()).map(|(&l, r)| (grey(l) - f32::from(r)).abs());
                let worst = off.fold(0.0, f32::max);
                assert!(worst < 1.5, "{what}: a grey is off by {worst}");
            }
        }
    }
}

//! Every frame that went out is in every recording, whatever times it came with, and looks as it came.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nervelight_tests::video::{Picture, decode};
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
        let steps = pictures.windows(2).map(|two| (two[0].pts, two[1].pts));
        let back: Vec<_> = steps.enumerate().filter(|(_, (a, b))| a >= b).collect();
        assert!(back.is_empty(), "{name}: PTS increase, but {back:?}");
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
        "{{ kind = \"pipeline\", reconnect = false, \
         pipeline = \"souphttpsrc location=http://{address}/ ! multipartdemux ! jpegdec\" }}"
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

/// What is in the picture at a part of its width and height.
fn luma_at(picture: &Picture, x: f64, y: f64) -> u8 {
    let (x, y) = (x * picture.width as f64, y * picture.height as f64);
    picture.luma[y as usize * picture.width + x as usize]
}

/// The daemon over a video with a white top left quarter.
fn shown(path: &Path, more: &str) -> (Picture, String) {
    let cart = recording(&format!("{{ kind = \"file\", path = \"{}\" }}\n{more}", path.display()));
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(assert_recorded(&cart), 10, "{more}");
    (decode(&cart.path("out.mkv")).unwrap().remove(5), ended.stderr)
}

fn quarter(size: &str, more: &str, path: &Path) {
    let options = format!(
        "-f lavfi -i color=c=black:s={size}:d=0.4:r=25,drawbox=c=white:t=fill:w=iw/2:h=ih/2{more} -pix_fmt yuv420p -c:v libx264"
    );
    ffmpeg(&options, path);
}

#[test]
fn a_video_is_turned_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (lying, turned) = (dir.path().join("lying.mp4"), dir.path().join("turned.mp4"));
    quarter("1280x720", "", &lying);
    ffmpeg(&format!("-i {} -c copy -metadata:s:v rotate=90", lying.display()), &turned);
    // Which way that is differs between versions of ffmpeg; each shows its own right.
    let expected = dir.path().join("shown.gray");
    ffmpeg(
        &format!("-i {} -frames:v 1 -vf scale=2:2 -f rawvideo -pix_fmt gray", turned.display()),
        &expected,
    );
    let expected: Vec<bool> = std::fs::read(expected).unwrap().iter().map(|luma| *luma > 128).collect();
    let (picture, said) = shown(&turned, "");
    assert_eq!((picture.width, picture.height), (720, 1280), "{said}");
    let corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
    assert_eq!(corners.map(|(x, y)| luma_at(&picture, x, y) > 128)[..], expected);
    assert!(!expected[0] && said.contains("frames are turned"), "{said}");
}

#[test]
fn pixels_that_are_not_square_are_made_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.mp4");
    quarter("640x480", ",setsar=2/1", &path);
    let (picture, said) = shown(&path, "");
    assert_eq!((picture.width, picture.height), (1280, 480), "{said}");
    assert!(luma_at(&picture, 0.25, 0.25) > 128 && luma_at(&picture, 0.75, 0.25) < 128);
    assert!(said.contains("pixels are not square"), "{said}");
}

#[test]
fn interlaced_video_has_no_combs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("interlaced.mp4");
    // Fields of two pictures in turn: all white, all black.
    ffmpeg(
        "-f lavfi -i color=c=black:s=640x480:d=0.4:r=50,geq=lum='235*mod(N\\,2)+16*(1-mod(N\\,2))':cb=128:cr=128 \
         -vf interlace=lowpass=0 -pix_fmt yuv420p -c:v libx264 -flags +ildct+ilme -x264-params tff=1",
        &path,
    );
    let (picture, said) = shown(&path, "");
    let combs = picture.luma.chunks(picture.width).collect::<Vec<_>>();
    let worst = combs.windows(2).map(|rows| rows[0][320].abs_diff(rows[1][320])).max().unwrap();
    assert!(worst < 20, "rows differ by {worst}: {said}");
    assert!(said.contains("interlaced"), "{said}");
}

#[test]
fn small_frames_get_a_border_where_that_is_wished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.mp4");
    quarter("320x240", "", &path);
    let (picture, said) = shown(&path, "region = { pad = true }");
    assert_eq!((picture.width, picture.height), (576, 416), "{said}");
    assert!(luma_at(&picture, 0.05, 0.05) < 20 && luma_at(&picture, 0.3, 0.3) > 128);
    assert!(luma_at(&picture, 0.6, 0.6) < 20);
}

/// Every frame's type and time in seconds, in the order stored.
fn types(path: &Path) -> Vec<(char, f64, bool)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries"])
        .args(["frame=pict_type,key_frame,best_effort_timestamp_time", "-of", "json"])
        .arg(path)
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let frames = shown["frames"].as_array().unwrap().iter();
    let read = frames.map(|frame| {
        let text = |key: &str| frame[key].as_str().unwrap();
        let is_key = frame["key_frame"] == 1;
        (
            text("pict_type").chars().next().unwrap(),
            text("best_effort_timestamp_time").parse().unwrap(),
            is_key,
        )
    });
    read.collect()
}

#[test]
fn one_encoder_feeds_all_recordings_with_what_any_player_shows() {
    let cart = recording("{ kind = \"phantom\", frames = 130, fps = 50, paced = false }");
    let ended = cart.run("run").unwrap();
    assert!(ended.success, "{}", ended.stderr);
    assert_eq!(assert_recorded(&cart), 130);
    assert_eq!(ended.stderr.matches("encoder started").count(), 1, "{}", ended.stderr);
    for name in ["out.mkv", "out.mp4"] {
        let stream = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-show_entries",
                "stream=profile,has_b_frames,color_range",
                "-of",
                "csv=p=0",
            ])
            .arg(cart.path(name))
            .output()
            .unwrap();
        let stream = String::from_utf8_lossy(&stream.stdout).into_owned();
        assert_eq!(stream.trim(), "Constrained Baseline,0,pc", "{name}");
        let types = types(&cart.path(name));
        assert!(types[0].2 && types.iter().all(|(kind, ..)| *kind != 'B'), "{name}: {types:?}");
        let keys: Vec<_> = types.iter().filter(|(.., is_key)| *is_key).map(|(_, at, _)| *at).collect();
        assert!(keys.len() >= 3 && keys.windows(2).all(|two| two[1] - two[0] <= 1.001), "{name}: {keys:?}");
    }
}

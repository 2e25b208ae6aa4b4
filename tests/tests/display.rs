//! The screen: filled, and found again after it was gone.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nervelight_tests::web::status;
use nervelight_tests::{Cart, free_port, run, wait_for};
use serde_json::Value;

/// An X server without a graphics card, and without a window manager.
struct Screen {
    server: Child,
    number: u32,
}

impl Screen {
    fn start(number: u32) -> Self {
        let mut command = Command::new("Xvfb");
        command.args([&format!(":{number}"), "-screen", "0", "1280x800x24"]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let socket = format!("/tmp/.X11-unix/X{number}");
        wait_for("the X server", || Path::new(&socket).exists().then_some(())).unwrap();
        Self { server, number }
    }

    /// What is on the screen: rows of RGB.
    fn shot(&self) -> Option<Vec<u8>> {
        let mut command = Command::new("timeout");
        command.args([
            "10",
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "x11grab",
            "-draw_mouse",
            "1",
            "-video_size",
            "1280x800",
        ]);
        command.args([
            "-i",
            &format!(":{}", self.number),
            "-frames:v",
            "1",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
        ]);
        let shot = command.arg("-").stderr(Stdio::null()).output().ok()?.stdout;
        (shot.len() == 1280 * 800 * 3).then_some(shot)
    }

    /// Waits until the picture, of one colour, fills the screen as far as its shape allows.
    fn wait_for_picture(&self) {
        let is_filled = |shot: &[u8]| {
            let at = |x: usize, y: usize| &shot[(y * 1280 + x) * 3..][..3];
            // 640x480 at 1280x800 is 1066x800, between black bars.
            let picture = [(640, 400), (112, 4), (1168, 4), (112, 796), (1168, 796)];
            let bars = [(20, 400), (1260, 400)];
            // White, give or take what videoconvert makes of its range.
            picture.iter().all(|(x, y)| at(*x, *y).iter().all(|c| *c > 200))
                && bars.iter().all(|(x, y)| at(*x, *y).iter().all(|c| *c < 40))
        };
        wait_for("the picture", || self.shot().filter(|shot| is_filled(shot))).unwrap();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // As a power cut would.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let number = self.number;
        for left in [format!("/tmp/.X11-unix/X{number}"), format!("/tmp/.X{number}-lock")] {
            let _ = std::fs::remove_file(left);
        }
    }
}

#[test]
fn the_picture_fills_the_screen_and_comes_back_with_it() {
    if run(Command::new("Xvfb").arg("-help")).is_err() {
        println!("skipped: there is no Xvfb");
        return;
    }
    // Others may have servers of their own.
    let number = 100 + std::process::id() % 10_000;
    let port = free_port().unwrap();
    let cart = Cart::new(&format!(
        r#"
        source = {{ kind = "pipeline", pipeline = "videotestsrc is-live=true pattern=white ! video/x-raw,width=640,height=480,framerate=15/1" }}
        model = {{ bundle = "BUNDLE" }}
        engine = {{ precision = "int8" }}
        overlay = {{ enabled = false }}
        http = {{ listen = "127.0.0.1:{port}" }}
        report = {{ path = "report.json" }}
        sinks = [{{ kind = "display" }}, {{ kind = "null" }}]
        "#
    ))
    .unwrap();
    let mut screen = Screen::start(number);
    let mut command = cart.command("run").unwrap();
    command.env("DISPLAY", format!(":{number}")).env_remove("WAYLAND_DISPLAY");
    let running = cart.start_as(command).unwrap();
    for _ in 0..2 {
        screen.wait_for_picture();
        drop(screen);
        let failed = |s: &Value| s["sinks"][0]["failed"].is_string();
        let before = wait_for("its failure", || status(port).filter(failed)).unwrap();
        // The others go on.
        std::thread::sleep(Duration::from_secs(1));
        let after = status(port).unwrap();
        let frames = |s: &Value| s["sinks"][1]["frames"].as_u64().unwrap();
        assert!(frames(&after) >= frames(&before) + 10, "{before:#} {after:#}");
        screen = Screen::start(number);
    }
    screen.wait_for_picture();
    let ended = running.terminate().unwrap();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let report = cart.report().unwrap();
    let figure = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(figure("frames_in"), figure("frames_out") + figure("dropped"), "{report:#}");
    assert_eq!(report["sinks"][1]["dropped"], 0, "{report:#}");
}

//! Recordings on a disk that fills up, or that cannot be written: a small one in memory, which only root can mount.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nervelight_tests::video::decode;
use nervelight_tests::web::status;
use nervelight_tests::{Cart, free_port, wait_for};

/// A disk of 12 MB. Dropped, it is unmounted.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "none"]).arg(path).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(path.into()))
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn cart(port: u16, more: &str) -> Cart {
    Cart::new(&format!(
        r#"
        source = {{ kind = "phantom", fps = 60, paced = true }}
        model = {{ bundle = "BUNDLE" }}
        http = {{ listen = "127.0.0.1:{port}" }}
        report = {{ path = "report.json" }}
        sinks = [{{ kind = "file", path = "disk/a.mp4"{more} }}, {{ kind = "null" }}]
        "#
    ))
    .unwrap()
}

fn videos(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "mp4")).collect()
}

/// Every file decodes to its end, but for those that hold nothing yet.
fn frames(folder: &Path) -> usize {
    let files = videos(folder);
    files
        .iter()
        .map(|path| decode(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len())
        .sum()
}

#[test]
fn a_recording_goes_on_when_there_is_room_again() {
    let port = free_port().unwrap();
    let cart = cart(port, "");
    let Some(disk) = Disk::mount(&cart.path("disk")) else { return println!("only root can mount a disk") };
    fs::write(cart.path("disk/ballast"), vec![0; 9_000_000]).unwrap();
    disk.remount("ro");
    let running = cart.start().unwrap();
    let sink = |port| status(port).map(|s| s["sinks"][0].clone());
    let fails = |why: &str| {
        wait_for(why, || sink(port).filter(|s| s["failed"].as_str().is_some_and(|said| said.contains(why))))
            .unwrap()
    };
    fails("cannot be written");
    disk.remount("rw");
    fails("the disk is full");
    let before = status(port).unwrap()["sinks"][1]["frames"].as_u64().unwrap();
    fs::remove_file(cart.path("disk/ballast")).unwrap();
    wait_for("another file", || sink(port).filter(|s| s["failed"].is_null())).unwrap();
    sleep(Duration::from_millis(1500));
    let after = status(port).unwrap()["sinks"][1]["frames"].as_u64().unwrap();
    assert!(after > before + 30, "the video goes on: {before} {after}");
    let ended = running.terminate().unwrap();
    assert_eq!(ended.code, Some(1), "something is missing: {}", ended.stderr);
    let kept = cart.report().unwrap()["sinks"][0]["frames"].as_u64().unwrap();
    let played = frames(&cart.path("disk")) as u64;
    // What the muxer had taken when the disk was full is not all there.
    assert!(played <= kept && played + 120 >= kept, "{played} of {kept} frames play: {}", ended.stderr);
}

#[test]
fn room_is_kept_free_by_deleting_the_oldest() {
    let port = free_port().unwrap();
    let cart = cart(port, ", segment_seconds = 1, keep_free_mb = 5");
    let Some(disk) = Disk::mount(&cart.path("disk")) else { return println!("only root can mount a disk") };
    fs::write(cart.path("disk/theirs"), vec![0; 3_000_000]).unwrap();
    let running = cart.start().unwrap();
    let (begun, mut least, mut deleted) = (Instant::now(), u64::MAX, 0);
    while deleted < 3 && begun.elapsed() < Duration::from_secs(60) {
        least = least.min(disk.free());
        deleted = status(port).map_or(0, |s| s["sinks"][0]["recorded"]["deleted"].as_u64().unwrap_or(0));
        sleep(Duration::from_millis(20));
    }
    // Somebody else takes what is left.
    fs::write(cart.path("disk/more"), vec![0; 4_000_000]).unwrap();
    let why =
        wait_for("an end", || status(port).and_then(|s| s["sinks"][0]["failed"].as_str().map(str::to_owned)));
    let ended = running.terminate().unwrap();
    assert!(
        deleted >= 3 && least > 3_000_000,
        "{deleted} deleted, at least {least} bytes of room: {}",
        ended.stderr
    );
    assert!(why.unwrap().contains("keep_free_mb is 5"), "{}", ended.stderr);
    assert!(disk.free() > 2_000_000 && cart.path("disk/theirs").exists(), "it never fills the disk up");
}

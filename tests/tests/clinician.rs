//! The daemon's page as the people at the cart see it, in a browser: live, stopped, restarted, with a recording that
//! failed, on a phone. With PICTURES set to a folder what was seen is kept there.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use nervelight_tests::browser::{Browser, cart};
use nervelight_tests::free_port;
use rustix::process::Signal;
use serde_json::Value;

/// What fills the picture, as coloured, gray or black.
const LOOKS: &str = "const c = document.getElementById('picture'); \
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
    let tinted = 0, bright = 0; \
    for (let i = 0; i < d.length; i += 4) { \
        if (Math.abs(d[i] - d[i + 2]) > 24) tinted++; \
        if (d[i + 1] > 40) bright++; \
    } \
    return [tinted, bright]";

fn number(value: &Value, place: usize) -> i64 {
    value[place].as_i64().unwrap()
}

#[test]
fn the_page_is_never_older_than_it_says() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let port = free_port().unwrap();
    let cart = cart(port, "{ kind = \"null\" }").unwrap();
    let running = cart.start().unwrap();
    let address = format!("http://127.0.0.1:{port}/");
    nervelight_tests::wait_for("the page", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        .unwrap();
    browser.go(&address).unwrap();
    browser.see("#state", "AI on").unwrap();
    browser.see("#figures dd", "a second").unwrap();
    let looks = browser.run(LOOKS).unwrap();
    assert!(number(&looks, 0) > 500 && number(&looks, 1) > 10_000, "a tinted nerve in a picture: {looks}");
    browser.keep("live.png").unwrap();

    // Picture first: it fills the window's height or width.
    let size = "const c = document.getElementById('stage').getBoundingClientRect(); \
        return [Math.round(c.width), Math.round(c.height), innerWidth, innerHeight]";
    let at = browser.run(size).unwrap();
    assert!(number(&at, 0) + 20 > number(&at, 2) && number(&at, 1) * 10 > number(&at, 3) * 8, "{at}");

    // By one key, and what is shown changes with the words.
    browser.press("o").unwrap();
    browser.see("#state", "switched off").unwrap();
    let looks = browser.run(LOOKS).unwrap();
    assert!(number(&looks, 0) < 50, "no tint under words that say so: {looks}");
    assert_eq!(browser.run("return document.getElementById('overlay').ariaPressed").unwrap(), "false");
    browser.click("#overlay").unwrap();
    browser.see("#state", "AI on").unwrap();
    browser.press("f").unwrap();
    let full = "return Boolean(document.fullscreenElement) || document.getElementById('live').classList.contains('full')";
    nervelight_tests::wait_for("full screen", || (browser.run(full).ok()? == true).then_some(())).unwrap();
    browser.keep("full.png").unwrap();
    browser.press("f").unwrap();
    nervelight_tests::wait_for("a window", || (browser.run(full).ok()? == false).then_some(())).unwrap();

    // The daemon hangs: within two seconds nobody can take the picture for a live one.
    running.signal(Signal::STOP).unwrap();
    let stopped = Instant::now();
    browser.see("#what", "Not live").unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(3), "{:?}", stopped.elapsed());
    browser.see("#state", "Not live").unwrap();
    let filter = "return getComputedStyle(document.getElementById('picture')).filter";
    assert!(
        browser.run(filter).unwrap().as_str().unwrap().contains("grayscale(1)"),
        "the mask's colour is gone"
    );
    browser.keep("stopped.png").unwrap();
    browser.see("#why", "does not answer").unwrap();
    running.signal(Signal::CONT).unwrap();
    browser.see("#state", "AI on").unwrap();
    assert_eq!(browser.texts("#what").unwrap(), [""]);

    // The daemon ends and another takes its place: the page finds it by itself.
    assert!(running.terminate().unwrap().success);
    browser.see("#what", "Not live").unwrap();
    browser.keep("ended.png").unwrap();
    let running = cart.start().unwrap();
    browser.see("#state", "AI on").unwrap();
    let looks = browser.run(LOOKS).unwrap();
    assert!(number(&looks, 1) > 10_000, "its picture is no black one: {looks}");
    browser.keep("restarted.png").unwrap();
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_recording_that_failed_is_said_large() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let port = free_port().unwrap();
    let cart = cart(port, "{ kind = \"file\", path = \"full.mp4\", overwrite = true }").unwrap();
    // Writes there fail as on a full disk.
    std::os::unix::fs::symlink("/dev/full", cart.path("full.mp4")).unwrap();
    let running = cart.start().unwrap();
    nervelight_tests::wait_for("the page", || std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        .unwrap();
    browser.size(390, 844).unwrap();
    browser.go(&format!("http://127.0.0.1:{port}/")).unwrap();
    browser.see("#alarms", "RECORDING STOPPED").unwrap();
    browser.see("#alarms", "the disk is full").unwrap();
    browser.see("#state", "AI on").unwrap();
    let wide = "return document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.run(wide).unwrap(), true, "nothing lies outside a phone's screen");
    let small =
        "return [...document.querySelectorAll('button')].every(b => !b.offsetParent || b.offsetHeight >= 44)";
    assert_eq!(browser.run(small).unwrap(), true, "a finger finds every button");
    browser.keep("phone.png").unwrap();
    browser.size(1500, 950).unwrap();
    browser.keep("failed.png").unwrap();
    drop(running);
}

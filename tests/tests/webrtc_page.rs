//! The page's picture by WebRTC, in a browser: its words go with the very picture, and motion JPEG stands in. With PICTURES
//! set to a folder what was seen is kept there.
#![allow(clippy::unwrap_used)]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nervelight_tests::browser::{Browser, cart};
use nervelight_tests::web::status;
use nervelight_tests::{Cart, Running, free_port, wait_for};
use rustix::process::Signal;

/// A cart that runs, whose page `browser` shows.
fn shown(browser: &Browser, port: u16, udp: u16) -> (Cart, Running) {
    let cart = cart(port, &format!("{{ kind = \"webrtc\", udp = \"127.0.0.1:{udp}\" }}")).unwrap();
    let running = cart.start().unwrap();
    wait_for("the page", || status(port).filter(|s| s["ai"] == "on")).unwrap();
    browser.go(&format!("http://127.0.0.1:{port}/")).unwrap();
    browser.see("#state", "AI on").unwrap();
    (cart, running)
}

/// Counts the pictures on the page, and those whose words are wrong: each time something is drawn, what the words say once
/// the page is done with it is compared with the tint that is there.
const WATCH_WORDS: &str = "window.drawn = 0; window.wrong = []; \
    const original = CanvasRenderingContext2D.prototype.drawImage; \
    CanvasRenderingContext2D.prototype.drawImage = function (...what) { \
        original.apply(this, what); \
        const { width, height } = this.canvas, data = this.getImageData(0, 0, width, height).data; \
        let tinted = 0; \
        for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - data[i + 2]) > 24) tinted++; \
        window.drawn++; \
        queueMicrotask(() => { \
            const words = document.getElementById('state').textContent; \
            const fits = words === 'AI on' ? tinted > 500 : words === 'Overlay switched off' ? tinted < 50 : false; \
            if (!fits) window.wrong.push([words, tinted]); \
        }); \
    }";

#[test]
fn the_words_go_with_the_very_picture() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let (port, udp) = (free_port().unwrap(), free_port().unwrap());
    let (cart, running) = shown(&browser, port, udp);
    browser.see("#way", "comes by WebRTC").unwrap();
    browser.see("#sinks li", "webrtc").unwrap();
    browser.keep("webrtc.png").unwrap();
    let size = "const c = document.getElementById('picture'); return [c.width, c.height]";
    assert_eq!(browser.run(size).unwrap(), serde_json::json!([580, 420]));

    browser.run(WATCH_WORDS).unwrap();
    for n in 0..10 {
        browser.press("o").unwrap();
        browser.see("#state", if n % 2 == 0 { "switched off" } else { "AI on" }).unwrap();
    }
    let drawn = browser.run("return window.drawn").unwrap();
    // One for each switch at least.
    assert!(drawn.as_u64() >= Some(10), "{drawn}");
    assert_eq!(browser.run("return window.wrong").unwrap(), serde_json::json!([]), "of {drawn} pictures");
    let preview = status(port).unwrap()["sinks"][0]["frames"].as_u64();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(status(port).unwrap()["sinks"][0]["frames"].as_u64(), preview, "no JPEG is made for nobody");

    // The daemon hangs: nobody can take the picture for a live one.
    running.signal(Signal::STOP).unwrap();
    let stopped = Instant::now();
    browser.see("#what", "Not live").unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(3), "{:?}", stopped.elapsed());
    browser.keep("webrtc-stopped.png").unwrap();
    running.signal(Signal::CONT).unwrap();
    browser.see("#state", "AI on").unwrap();

    // It ends, and another takes its place.
    assert!(running.terminate().unwrap().success);
    browser.see("#what", "Not live").unwrap();
    let running = cart.start().unwrap();
    browser.see("#state", "AI on").unwrap();
    browser.see("#way", "comes by WebRTC").unwrap();
    assert!(running.terminate().unwrap().success);
}

#[test]
fn motion_jpeg_stands_in_and_webrtc_takes_over() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let (port, udp) = (free_port().unwrap(), free_port().unwrap());
    let holder = UdpSocket::bind(("127.0.0.1", udp)).unwrap();
    let (_cart, running) = shown(&browser, port, udp);
    browser.see("#way", "as motion JPEG. WebRTC shows none: the WebRTC sink is not open").unwrap();
    browser.see("#alarms", "OUTPUT FAILED: webrtc").unwrap();
    browser.keep("webrtc-stands-in.png").unwrap();
    drop(holder);
    browser.click("#sinks button").unwrap();
    browser.see("#way", "comes by WebRTC").unwrap();
    assert!(running.terminate().unwrap().success);
}

#[test]
fn a_grey_is_the_same_grey_on_the_page() {
    let Some(browser) = Browser::open().unwrap() else { return };
    // Of the two ranges: 16 is black in one, and dark gray in the other.
    for (range, expected) in [("bt601", 0), ("1:4:0:0", 16)] {
        let (port, udp) = (free_port().unwrap(), free_port().unwrap());
        let cart = Cart::new(&format!(
            "model = {{ bundle = \"BUNDLE\" }}\nsinks = [{{ kind = \"webrtc\", udp = \"127.0.0.1:{udp}\" }}]\n\
             overlay = {{ enabled = false }}\nhttp = {{ listen = \"127.0.0.1:{port}\" }}\n[source]\nkind = \"pipeline\"\n\
             pipeline = '''videotestsrc is-live=true pattern=black ! \
             video/x-raw,format=I420,width=640,height=480,framerate=15/1,colorimetry=(string){range}'''"
        ))
        .unwrap();
        let running = cart.start().unwrap();
        wait_for("the page", || status(port)).unwrap();
        browser.go(&format!("http://127.0.0.1:{port}/")).unwrap();
        browser.see("#way", "comes by WebRTC").unwrap();
        let grey = browser
            .run("return [...document.getElementById('picture').getContext('2d').getImageData(300, 300, 1, 1).data]")
            .unwrap();
        assert!((grey[1].as_i64().unwrap() - expected).abs() <= 2, "{range}: {grey}, not {expected}");
        drop(running);
    }
}

//! A daemon that shows a stream, and what is asked of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nervelight_tests::rtsp::{Screen, Seen, now};
use nervelight_tests::web::{request, status};
use nervelight_tests::{Cart, Running, free_port, wait_for};
use serde_json::Value;

/// The password of every server.
pub const PASSWORD: &str = "planted-password";

/// A daemon that shows a stream.
pub struct Bench {
    pub cart: Cart,
    pub screen: Screen,
    pub port: u16,
}

impl Bench {
    /// `source` without its kind.
    pub fn new(source: &str) -> Self {
        let port = free_port().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.keep().join("screen");
        let screen = Screen::open(&fifo).unwrap();
        let cart = Cart::new(&format!(
            r#"
            source = {{ kind = "rtsp", {source} }}
            model = {{ bundle = "BUNDLE" }}
            engine = {{ precision = "int8" }}
            sync = {{ mode = "latest", max_mask_age_ms = 60000, engine_timeout_ms = 60000 }}
            http = {{ listen = "127.0.0.1:{port}" }}
            report = {{ path = "report.json" }}
            sinks = [{{ kind = "null" }}, {}]
            "#,
            Screen::sink(&fifo)
        ))
        .unwrap();
        let password = cart.path("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self { cart, screen, port }
    }

    /// Of the stream of a server on this port.
    pub fn of(server: u16) -> Self {
        Self::new(&format!("uri = \"rtsp://127.0.0.1:{server}/us\""))
    }

    /// Waits for a picture that was made from now on.
    pub fn fresh(&self) -> Seen {
        self.screen.wait(now(), Duration::from_secs(30)).expect("a picture")
    }

    /// `/status`, once `is_so` of it.
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || status(self.port).filter(&is_so)).unwrap()
    }

    /// Why the source is waited for, once it says `word`.
    pub fn reason(&self, word: &str) -> String {
        let s = self.until(word, |s| s["source_failed"].as_str().is_some_and(|why| why.contains(word)));
        s["source_failed"].as_str().unwrap().into()
    }

    /// Ends the run; everything that it said. Nothing is lost, and no password is told.
    pub fn end(self, running: Running) -> String {
        let status = String::from_utf8(request(self.port, "GET", "/status", "").unwrap()).unwrap();
        let metrics = String::from_utf8(request(self.port, "GET", "/metrics", "").unwrap()).unwrap();
        let ended = running.terminate().unwrap();
        let report = self.cart.report().unwrap();
        let count = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(count("frames_in"), count("frames_out") + count("dropped"), "{report:#}");
        let said = format!("{}\n{}\n{status}\n{metrics}\n{report}", ended.stdout, ended.stderr);
        assert!(!said.contains(PASSWORD), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

/// The middle lag of pictures, in ms.
pub fn median_lag(seen: &[Seen]) -> u32 {
    let mut lags: Vec<_> = seen.iter().filter_map(Seen::lag).collect();
    lags.sort_unstable();
    *lags.get(lags.len() / 2).expect("pictures")
}

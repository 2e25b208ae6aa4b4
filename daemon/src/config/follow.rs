//! `[model.follow]`: the registry's tag that the cart follows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;
use nervelight_registry::{Repository, Verdict};
use rustix::system::uname;
use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFollow {
    pub uri: String,
    pub poll_s: u64,
    pub window: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub plain_http: Option<bool>,
    pub name: Option<String>,
    pub canaries: Vec<String>,
    pub wait_for: Option<usize>,
}

impl Default for RawFollow {
    fn default() -> Self {
        Self {
            uri: String::new(),
            poll_s: 60,
            window: None,
            credentials_file: None,
            plain_http: None,
            name: None,
            canaries: vec![],
            wait_for: None,
        }
    }
}

/// The section as used.
#[derive(Debug, Clone)]
pub struct Follow {
    /// The tag, and where it is.
    pub tag: Repository,
    /// Time between two looks, give or take a fifth.
    pub poll: Duration,
    /// When models may be deployed, local time; any time if absent.
    pub window: Option<Window>,
    /// The file of credentials.
    pub credentials: Option<PathBuf>,
    /// Without TLS.
    pub plain: bool,
    /// This cart's name.
    pub cart: String,
    /// Names of the carts that try a model before the others.
    pub canaries: Vec<String>,
    /// How many of them must have kept a model before another cart takes it.
    pub wait_for: usize,
}

impl Follow {
    /// Whether this cart is one of those that try a model first.
    pub fn is_canary(&self) -> bool {
        self.canaries.contains(&self.cart)
    }
}

/// A time of the day, which may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: Time,
    to: Time,
}

impl Window {
    /// Reads `HH:MM-HH:MM`.
    fn read(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
        };
        let window = Self { from: time(from)?, to: time(to)? };
        (window.from != window.to).then_some(window)
    }

    /// Whether it is open at `now`.
    pub fn is_open(&self, now: Time) -> bool {
        match self.from < self.to {
            true => self.from <= now && now < self.to,
            false => self.from <= now || now < self.to,
        }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), to.hour(), to.minute())
    }
}

impl RawFollow {
    /// What is followed, if the section has no mistake.
    pub fn resolve(&self, base: &Path, mistakes: &mut Mistakes) -> Option<Follow> {
        let before = mistakes.len();
        let tag = self.uri.parse::<Repository>();
        if let Err(error) = &tag {
            mistakes.add("model.follow.uri", error.to_string());
        }
        mistakes.check(
            (1..=86_400).contains(&self.poll_s),
            "model.follow.poll_s",
            "must be from 1 to 86400 seconds",
        );
        let window = self.window.as_deref().map(Window::read);
        mistakes.check(
            window != Some(None),
            "model.follow.window",
            "must be two different times of the day like \"02:00-05:00\"",
        );
        let credentials = self.credentials_file.as_ref().map(|path| base.join(path));
        if let Some(path) = &credentials {
            mistakes.check(path.exists(), "model.follow.credentials_file", "does not exist. Check the path");
        }
        if let Ok(tag) = &tag {
            mistakes.check(
                self.plain_http != Some(true) || tag.is_loopback() || self.credentials_file.is_none(),
                "model.follow.plain_http",
                "sends the credentials over the network for everybody to read. Use TLS, or no credentials",
            );
        }
        let cart = self.name.clone().unwrap_or_else(|| uname().nodename().to_string_lossy().into_owned());
        mistakes.check(
            Verdict::is_cart(&cart),
            "model.follow.name",
            "must have 1 to 64 letters, digits and ._- (it is this machine's name if absent)",
        );
        for (i, name) in self.canaries.iter().enumerate() {
            let is_good = Verdict::is_cart(name) && !self.canaries[..i].contains(name);
            let key = format!("model.follow.canaries[{i}]");
            mistakes.check(
                is_good,
                &key,
                "must be a cart's name, with letters, digits and ._-, and be there once",
            );
        }
        let wait_for = self.wait_for.unwrap_or(self.canaries.len());
        mistakes.check(
            wait_for <= self.canaries.len() && (wait_for > 0 || self.canaries.is_empty()),
            "model.follow.wait_for",
            "must be from 1 to the number of canaries",
        );
        let tag = tag.ok().filter(|_| mistakes.len() == before)?;
        // Where nothing is said, only a registry on this machine is spoken to without TLS.
        let plain = self.plain_http.unwrap_or(tag.is_loopback());
        let (poll, canaries) = (Duration::from_secs(self.poll_s), self.canaries.clone());
        Some(Follow { tag, poll, window: window.flatten(), credentials, plain, cart, canaries, wait_for })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<Follow, String> {
        let raw: RawFollow = toml::from_str(text).unwrap();
        let mut mistakes = Mistakes::default();
        let follow = raw.resolve(Path::new("/tmp"), &mut mistakes);
        let said =
            mistakes.into_list().into_iter().map(|m| format!("{}: {}", m.key.unwrap_or_default(), m.message));
        follow.ok_or_else(|| said.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let open = |text: &str, hour, minute| {
            Window::read(text).unwrap().is_open(Time::new(hour, minute, 0, 0).unwrap())
        };
        assert!(open("02:00-05:00", 2, 0) && open("02:00-05:00", 4, 59));
        assert!(!open("02:00-05:00", 5, 0) && !open("02:00-05:00", 1, 59) && !open("02:00-05:00", 14, 0));
        assert!(open("22:30-01:00", 23, 0) && open("22:30-01:00", 0, 30) && !open("22:30-01:00", 12, 0));
        for bad in ["", "2-5", "02:00", "25:00-26:00", "02:00-02:00", "02:00-05:61"] {
            assert!(Window::read(bad).is_none(), "{bad}");
        }
        assert_eq!(Window::read("2:00-05:00").unwrap().to_string(), "02:00-05:00");
    }

    #[test]
    fn who_is_a_canary_follows_from_the_name() {
        let text = "uri = \"oci://r/nerve:stable\"\ncanaries = [\"a\", \"b\"]\n";
        let follow = resolved(&format!("{text}name = \"a\"")).unwrap();
        assert!(follow.is_canary() && follow.wait_for == 2 && !follow.plain);
        assert!(!resolved(&format!("{text}name = \"c\"\nwait_for = 1")).unwrap().is_canary());
        let here = "uri = \"oci://127.0.0.1:5000/nerve:stable\"\n";
        assert!(resolved(here).unwrap().plain);
        assert!(!resolved(&format!("{here}plain_http = false")).unwrap().plain);
    }

    #[test]
    fn each_mistake_is_named() {
        let uri = "uri = \"oci://r/nerve:stable\"\n";
        for (text, expected) in [
            (String::new(), "model.follow.uri: "),
            (format!("{uri}poll_s = 0"), "model.follow.poll_s"),
            (format!("{uri}window = \"night\""), "model.follow.window"),
            (format!("{uri}credentials_file = \"none\""), "credentials_file: does not exist"),
            (format!("{uri}name = \"cart 7\""), "model.follow.name"),
            (format!("{uri}name = \"a\"\ncanaries = [\"a\", \"a\"]"), "canaries[1]"),
            (format!("{uri}name = \"a\"\ncanaries = [\"a\"]\nwait_for = 2"), "wait_for"),
            (format!("{uri}name = \"a\"\ncanaries = [\"a\"]\nwait_for = 0"), "wait_for"),
            (
                format!("{uri}name = \"a\"\nplain_http = true\ncredentials_file = \"/etc/hosts\""),
                "plain_http",
            ),
        ] {
            let said = resolved(&text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}

//! `[http]`: the page.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    pub enabled: bool,
    pub listen: String,
    pub proxy_hosts: Vec<String>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self { enabled: true, listen: "127.0.0.1:8321".into(), proxy_hosts: vec![] }
    }
}

impl RawHttp {
    /// Where the page is served; none if it is not, or the section has a mistake.
    pub fn resolve(&self, mistakes: &mut Mistakes) -> Option<SocketAddr> {
        mistakes.check(
            self.proxy_hosts.iter().all(|host| is_host(host)),
            "http.proxy_hosts",
            "must be names as browsers send them, such as \"cart7.example.org\" or \"cart7.example.org:8443\"",
        );
        if !self.enabled {
            return None;
        }
        let Ok(listen) = self.listen.parse::<SocketAddr>() else {
            mistakes.add("http.listen", "must be an address and a port like \"127.0.0.1:8321\"");
            return None;
        };
        mistakes.check(
            listen.ip().is_loopback() || !self.proxy_hosts.is_empty(),
            "http.listen",
            "is not on loopback, and the page has no log-in: everybody on the network could watch patients and switch \
             the overlay. Use 127.0.0.1; if a proxy with a log-in stands before it, name in http.proxy_hosts how \
             browsers reach that",
        );
        Some(listen)
    }
}

/// Whether a browser could send it as `Host`.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.starts_with('[') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    !name.is_empty() && name.chars().all(of_name) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_known() {
        for good in
            ["cart7.example.org", "cart7.example.org:8443", "10.0.0.2:80", "[fe80::1]:80", "[fe80::1]"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "*", "https://cart7", "cart7/", "cart7:x", ":80", "a b"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}

//! `[http]`: the page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::mistakes::{Mistakes, has_folder};
use crate::config::tls::Tls;

/// Where the audit log is in a store of models, unless the file says otherwise.
pub const AUDIT: &str = "audit.jsonl";

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    pub enabled: bool,
    pub listen: String,
    pub proxy_hosts: Vec<String>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub tokens: Option<PathBuf>,
    pub audit: Option<PathBuf>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: "127.0.0.1:8321".into(),
            proxy_hosts: vec![],
            certificate: None,
            key: None,
            tokens: None,
            audit: None,
        }
    }
}

/// The section as used.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where page, status and metrics are served.
    pub listen: SocketAddr,
    /// Names by which browsers reach the page through a proxy.
    pub proxy_hosts: Vec<String>,
    /// What it speaks TLS with.
    pub tls: Option<Tls>,
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// The audit log.
    pub audit: Option<PathBuf>,
}

impl RawHttp {
    /// The page as used; none if it is not served, or the section has a mistake.
    pub fn resolve(&self, base: &Path, mistakes: &mut Mistakes) -> Option<Http> {
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
        let mut mistake = |key: &str, message: &str| mistakes.add(format!("http.{key}"), message);
        let tls = Tls::resolve(self.certificate.as_ref(), self.key.as_ref(), base, &mut mistake);
        let is_whole = self.certificate.is_some() && self.key.is_some() && self.tokens.is_some();
        if !listen.ip().is_loopback() && !is_whole {
            mistake(
                "listen",
                "is not on loopback: everybody on the network could watch patients and change what the cart does. Set \
                 http.certificate and http.key (`nervelightd cert --host NAME --out FOLDER` makes them) and http.tokens \
                 (`nervelightd token add NAME --role ROLE --file FILE` makes it), or use 127.0.0.1",
            );
        }
        let audit = self.audit.as_ref().map(|audit| base.join(audit));
        if audit.as_ref().is_some_and(|audit| !has_folder(audit)) {
            mistake("audit", "is in a folder that does not exist. Make the folder, or choose another");
        }
        let tokens = self.tokens.as_ref().map(|tokens| base.join(tokens));
        Some(Http { listen, proxy_hosts: self.proxy_hosts.clone(), tls, tokens, audit })
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
    fn off_loopback_it_takes_tls_and_tokens() {
        let said = |text: &str| {
            let mut mistakes = Mistakes::default();
            let raw: RawHttp = toml::from_str(text).unwrap();
            let http = raw.resolve(Path::new("/etc"), &mut mistakes);
            (http, format!("{:?}", mistakes.into_list()))
        };
        let (tls, tokens) = ("certificate = \"c\"\nkey = \"k\"\n", "tokens = \"t\"\n");
        let open = "listen = \"0.0.0.0:8321\"\n";
        let proxied = "proxy_hosts = [\"cart7.example.org\"]\n";
        for bad in
            [open.to_owned(), format!("{open}{tls}"), format!("{open}{tokens}"), format!("{open}{proxied}")]
        {
            let (_, said) = said(&bad);
            for word in ["http.listen", "not on loopback", "nervelightd cert", "nervelightd token add"] {
                assert!(said.contains(word), "{bad}: {said}");
            }
        }
        let (http, nothing) = said(&format!("{open}{tls}{tokens}"));
        let http = http.unwrap();
        assert_eq!((http.tokens.unwrap(), http.tls.unwrap().key), ("/etc/t".into(), "/etc/k".into()));
        assert_eq!(nothing, "[]");
        assert!(said("certificate = \"c\"").1.contains("http.key"));
        assert!(said("audit = \"/absent/audit.jsonl\"").1.contains("http.audit"));
        assert_eq!(said("").1, "[]");
    }

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

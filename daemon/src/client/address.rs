//! Where a cart is, and the certificate that it has: `https://cart7:8321#sha256=FINGERPRINT`.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use nervelight_engines::digest::hex;
use url::{Host, Url};

/// Where a cart is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port.
    base: Url,
    /// SHA-256 of its certificate.
    pub fingerprint: Option<[u8; 32]>,
}

impl Address {
    /// The address of a path there.
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// What a browser that shows the cart's page says of itself.
    pub fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.base.host() {
            Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// Whether what is said there is encrypted.
    pub fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// As it is written with this fingerprint.
    pub fn pinned(&self, fingerprint: &[u8; 32]) -> String {
        format!("{self}#sha256={}", hex(fingerprint))
    }
}

/// Without the fingerprint.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let url =
            Url::parse(text).context("is no address. Write https://CART:PORT, or http://127.0.0.1:PORT")?;
        ensure!(
            matches!(url.scheme(), "http" | "https"),
            "must begin with https://, or http:// on this machine"
        );
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "must hold no password. Use --token-file"
        );
        ensure!(url.path() == "/" && url.query().is_none(), "must end after the port");
        let fingerprint = url.fragment().map(|pin| {
            let pin =
                pin.strip_prefix("sha256=").context("may end in #sha256=FINGERPRINT, and in nothing else")?;
            fingerprint(pin)
        });
        let mut base = url.clone();
        base.set_fragment(None);
        let address = Self { base, fingerprint: fingerprint.transpose()? };
        if !address.is_tls() {
            ensure!(
                address.is_loopback(),
                "must begin with https://: a token and a model would cross the network openly"
            );
            ensure!(address.fingerprint.is_none(), "has a fingerprint and no TLS. Begin it with https://");
        }
        Ok(address)
    }
}

/// A SHA-256 as people write it, in 64 hexadecimal digits with or without colons.
pub fn fingerprint(text: &str) -> Result<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let byte = |at: usize| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Option<Vec<u8>> = (0..digits.len().div_ceil(2)).map(|i| byte(2 * i)).collect();
    match bytes.and_then(|bytes| bytes.try_into().ok()) {
        Some(fingerprint) => Ok(fingerprint),
        None => bail!("is no fingerprint: that has 64 hexadecimal digits, as `nervelightd cert` prints it"),
    }
}

/// The carts in a file: an address a line; `#` at the beginning of a line makes it a comment.
///
/// # Errors
/// When the file cannot be read, or a line is no address.
pub fn read_list(path: &Path) -> Result<Vec<Address>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(i, line)| line.parse().with_context(|| format!("{}:{}: {line}", path.display(), i + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let pin = "0a".repeat(32);
        let address: Address = format!("https://cart7.example.org:8321#sha256={pin}").parse().unwrap();
        assert_eq!(address.fingerprint, Some([10; 32]));
        assert_eq!(address.to_string(), "https://cart7.example.org:8321");
        assert_eq!(address.join("/api/v1/models").as_str(), "https://cart7.example.org:8321/api/v1/models");
        assert_eq!(address.pinned(&[10; 32]), format!("https://cart7.example.org:8321#sha256={pin}"));
        let colons = ["0A"; 32].join(":");
        assert_eq!(fingerprint(&colons).unwrap(), [10; 32]);
        assert!(
            "http://127.0.0.1:8321".parse::<Address>().is_ok() && "http://[::1]:1".parse::<Address>().is_ok()
        );
        for bad in [
            "cart7:8321",
            "http://cart7:8321",
            "https://u:p@cart7",
            "https://cart7/page",
            "https://cart7?x",
            "https://cart7#sha256=0a",
            "https://cart7#md5=0",
            "http://127.0.0.1#sha256=0",
            "ftp://cart7",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert!(fingerprint(&"é".repeat(32)).is_err());
    }
}

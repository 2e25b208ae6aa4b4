//! `kind = "igtl"`: pictures from an OpenIGTLink server, such as PLUS.

use std::fmt;
use std::time::Duration;

use crate::config::mistakes::Mistakes;
use crate::config::source::{RawSource, present};

/// The port that OpenIGTLink has at IANA.
const PORT: u16 = 18944;
/// Bytes of a device's name in a message.
const NAME: usize = 20;

/// An OpenIGTLink server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgtlSource {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whose images are taken; without it those of the first that sends one.
    pub device: Option<String>,
    /// A server that sends nothing for so long is taken for gone.
    pub silence: Duration,
}

impl fmt::Display for IgtlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "igtl {}:{}", self.host, self.port)?;
        self.device.as_ref().map_or(Ok(()), |device| write!(f, " {device}"))
    }
}

impl IgtlSource {
    /// The source as used; none if a key is missing.
    pub(super) fn resolve(raw: &RawSource, mistakes: &mut Mistakes) -> Option<Self> {
        let host = present(raw.host.as_ref(), "host", "the server's name or address", mistakes)?;
        let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@".contains(c));
        let must_be = "must be a name or an address alone, such as \"plus.example.org\" or \"10.0.0.2\"";
        mistakes.check(is_host, "source.host", must_be);
        let port = raw.port.unwrap_or(PORT);
        mistakes.check(port != 0, "source.port", "must be from 1 to 65535");
        let device = raw.device.as_ref().map(|device| device.to_string_lossy().into_owned());
        let is_name = device.as_ref().is_none_or(|name| (1..=NAME).contains(&name.len()));
        mistakes.check(is_name, "source.device", "must have 1 to 20 bytes, as names in OpenIGTLink do");
        let seconds = raw.silence_s.unwrap_or(2.0);
        let is_possible = (0.5..=3600.0).contains(&seconds);
        mistakes.check(is_possible, "source.silence_s", "must be from 0.5 to 3600");
        let silence = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Some(Self { host: host.clone(), port, device, silence })
    }
}

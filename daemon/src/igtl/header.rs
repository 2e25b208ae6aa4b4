//! The header of every message: 58 bytes, big-endian.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crc::{CRC_64_ECMA_182, Crc, Table};

use crate::igtl::{IgtlError, LONGEST};

/// Bytes of a header.
pub const HEADER: usize = 58;
/// Header version that is written.
const VERSION: u16 = 1;
/// Header version whose body begins with an extended header and ends with metadata.
const EXTENDED: u16 = 2;
/// Bytes of the extended header's known fields.
const EXTENDED_HEADER: usize = 12;

/// The specification's CRC: ECMA-182, from 0, without reflection.
static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_ECMA_182);

/// A text of at most `N` bytes, filled up with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name<const N: usize>([u8; N]);

impl<const N: usize> Name<N> {
    /// The first `N` bytes of `text`.
    pub fn new(text: &str) -> Self {
        let mut name = [0; N];
        name.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self(name)
    }

    /// Its bytes up to the first zero.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }

    /// Whether it is `text`.
    pub fn is(&self, text: &str) -> bool {
        self.bytes() == text.as_bytes()
    }
}

impl<const N: usize> fmt::Display for Name<N> {
    /// Whatever a peer puts into it leaves as printable text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes().escape_ascii())
    }
}

impl<const N: usize> fmt::Debug for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 1, or 2 with an extended header.
    pub version: u16,
    /// The message's type, such as `IMAGE`.
    pub kind: Name<12>,
    /// Who it is from.
    pub device: Name<20>,
    /// Seconds since 1970 in UTC, 32 bits before and 32 after the point; 0 when unused.
    pub timestamp: u64,
    /// Bytes that follow.
    pub body: u64,
    /// Of the body.
    pub crc: u64,
}

impl Header {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or announces more than is taken.
    pub fn read(bytes: &[u8; HEADER]) -> Result<Self, IgtlError> {
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let header = Self {
            version: u16::from_be_bytes([bytes[0], bytes[1]]),
            kind: Name(std::array::from_fn(|i| bytes[2 + i])),
            device: Name(std::array::from_fn(|i| bytes[14 + i])),
            timestamp: number(34),
            body: number(42),
            crc: number(50),
        };
        let kind = header.kind.bytes();
        let is_name = !kind.is_empty() && kind.iter().all(|b| b.is_ascii_graphic());
        if !(VERSION..=EXTENDED).contains(&header.version) || !is_name {
            return Err(IgtlError::Foreign(header.version));
        }
        if header.body > LONGEST {
            return Err(IgtlError::TooLong { kind: header.kind.to_string(), size: header.body });
        }
        Ok(header)
    }

    /// Appends to `out` a message whose body `write` appends.
    pub fn message(
        out: &mut Vec<u8>,
        kind: &str,
        device: Name<20>,
        timestamp: u64,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = out.len();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&Name::<12>::new(kind).0);
        out.extend_from_slice(&device.0);
        out.extend_from_slice(&timestamp.to_be_bytes());
        out.extend_from_slice(&[0; 16]);
        write(out);
        let (header, body) = out[start..].split_at_mut(HEADER);
        header[42..50].copy_from_slice(&(body.len() as u64).to_be_bytes());
        header[50..].copy_from_slice(&CRC.checksum(body).to_be_bytes());
    }

    /// When the message was made, since 1970; none when its sender does not say.
    pub fn time(&self) -> Option<Duration> {
        let (seconds, fraction) = (self.timestamp >> 32, self.timestamp & u64::from(u32::MAX));
        (self.timestamp != 0).then(|| Duration::new(seconds, ((fraction * 1_000_000_000) >> 32) as u32))
    }
}

/// The timestamp of a moment that was `ago`.
pub fn now(ago: Duration) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago);
    // Some readers round the fraction up to the next bit; what they show is the same nanosecond.
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs() << 32) | fraction
}

/// The content in the `body` of a message: all of it in header version 1, what is between extended header and metadata in
/// version 2.
///
/// # Errors
/// When the checksum is wrong, or the lengths contradict each other.
pub fn content<'a>(header: &Header, body: &'a [u8]) -> Result<&'a [u8], IgtlError> {
    if CRC.checksum(body) != header.crc {
        return Err(IgtlError::Checksum(header.kind.to_string()));
    }
    if header.version < EXTENDED {
        return Ok(body);
    }
    let malformed = IgtlError::Malformed { kind: "extended header", why: "its lengths exceed the body" };
    let Some(extended) = body.first_chunk::<EXTENDED_HEADER>() else { return Err(malformed) };
    let length = usize::from(u16::from_be_bytes([extended[0], extended[1]]));
    let index = usize::from(u16::from_be_bytes([extended[2], extended[3]]));
    let metadata = u32::from_be_bytes([extended[4], extended[5], extended[6], extended[7]]) as usize;
    let end = body.len().checked_sub(metadata).and_then(|end| end.checked_sub(index));
    match end {
        Some(end) if (EXTENDED_HEADER..=end).contains(&length) => Ok(&body[length..end]),
        _ => Err(malformed),
    }
}

//! OpenIGTLink messages as bytes (protocol versions 1 to 3, <http://openigtlink.org>). Nothing here opens a socket, and
//! no length that a peer states is believed before it is checked.
//!
//! What is written has header version 1: 3D Slicer, PLUS, `pyigtl` and every libopenigtlink read it, and Debian's
//! (protocol 2) takes the extended header of version 2 for pixels. Both versions are read.

mod header;
mod image;
mod incoming;
mod status;

pub use header::{HEADER, Header, Name, content, now};
pub use image::{ImageHeader, Scalar, image};
pub use incoming::Incoming;
pub use status::{Status, capability, status};

/// Longest body that is taken: a picture of 4096 x 4096 pixels and four components.
pub const LONGEST: u64 = 64 << 20;

/// Why bytes are no message, or none that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgtlError {
    /// The first bytes are no header.
    #[error("what it sends is not OpenIGTLink (header version {0})")]
    Foreign(u16),
    /// A body that would not fit into memory set aside for it.
    #[error("it announces a message {kind} of {size} bytes; {LONGEST} are the most that is taken")]
    TooLong {
        /// The message's type.
        kind: String,
        /// What its header says.
        size: u64,
    },
    /// The body is not what its sender computed the checksum of.
    #[error("the checksum of its message {0} is wrong: it was damaged on the way, or is not OpenIGTLink")]
    Checksum(String),
    /// Lengths or codes inside the body contradict each other.
    #[error("its message {kind} is malformed: {why}")]
    Malformed {
        /// The message's type.
        kind: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

#[cfg(test)]
mod tests;

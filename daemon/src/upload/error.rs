//! Why an upload does not go on.

use std::io;

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No bundle has that size.
    #[error("{bytes} bytes are announced, and a bundle has from 1 to {most}")]
    Size {
        /// The size.
        bytes: u64,
        /// The largest.
        most: u64,
    },
    /// The digest is none.
    #[error("sha256 must be the SHA-256 of all bytes, in 64 hexadecimal digits, lower case")]
    NoDigest,
    /// Others are under way.
    #[error("{0} uploads are under way. Wait for one to end, or delete one")]
    Many(usize),
    /// The disk is full.
    #[error(
        "the store needs {needed} free bytes for this and has {free}. Remove old models with `nervelightd models prune`"
    )]
    Room {
        /// For tar and bundle, and the other uploads.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// There is no such upload.
    #[error("there is no such upload: it was handed over, given up, or left alone for a day. Begin another")]
    Unknown,
    /// The piece does not follow on what is there.
    #[error("{0} bytes are there. Go on from there")]
    Offset(u64),
    /// Another piece is being written.
    #[error("somebody else is sending this upload, {0} bytes are there. Wait, and ask how many there are")]
    Busy(u64),
    /// The piece goes over the announced end.
    #[error("the upload has {0} bytes as announced, and this is more. Begin another")]
    More(u64),
    /// It was handed over too early.
    #[error("{offset} of {bytes} bytes are there. Send the rest first")]
    Unfinished {
        /// What is there.
        offset: u64,
        /// What was announced.
        bytes: u64,
    },
    /// Other bytes came than were announced.
    #[error("the bytes have the SHA-256 {found}, announced was {announced}. Nothing was kept: send it again")]
    Digest {
        /// Of what came.
        found: String,
        /// As announced.
        announced: String,
    },
    /// The disk.
    #[error("the store cannot be written: {0}. Check its disk")]
    Disk(io::Error),
}

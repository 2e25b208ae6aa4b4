//! SHA-256, which names and protects every file that is kept.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// SHA-256 of `bytes` in hexadecimal, lower case.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The same of all that `from` gives, which need not fit into memory.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(mut from: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut from, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them, as [`sha256`] writes it.
    pub fn hex(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}

/// Whether this is a whole SHA-256 as [`sha256`] writes it.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `bytes` in hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_fips_180() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
        assert_eq!(sha256_of(&b"abc"[..]).unwrap(), abc);
        let mut pieces = Digester::default();
        [b"a", b"b", b"c"].into_iter().for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.hex(), abc);
    }
}

//! Signatures of bundles: minisign's, over the bytes of `manifest.json`, which has the SHA-256 of every other file.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use minisign_verify::{Error, Signature};

use crate::say;

/// Bytes of a signature or of a public key's file, at most.
pub const LARGEST_SIGNATURE: u64 = 8 << 10;
/// Characters of a key's name, at most.
const LONGEST_NAME: usize = 64;
/// What `nervelight-train sign` writes before the manifest's digest in the trusted comment.
pub const DIGEST_MARK: &str = "sha256:";

/// A public key, under the name that logs and pages show.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Whose it is.
    pub name: String,
    key: minisign_verify::PublicKey,
}

/// Why a text is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name says nothing, or too much.
    #[error("key name {0:?} must have 1 to {LONGEST_NAME} characters, and no control characters")]
    Name(String),
    /// The file cannot be read.
    #[error("cannot read the key {0}: {1}. Check the path and its permissions")]
    Read(std::path::PathBuf, std::io::Error),
    /// The text is something else.
    #[error(
        "key {0:?} is no minisign public key. It is the second line of the .pub file, 56 characters that begin with RW"
    )]
    Text(String),
}

impl PublicKey {
    /// The key whose base64 is the second line of minisign's `.pub` file.
    ///
    /// # Errors
    /// When the name or the text is none.
    pub fn new(name: &str, base64: &str) -> Result<Self, KeyError> {
        let length = name.chars().count();
        if !(1..=LONGEST_NAME).contains(&length) || name.chars().any(say::is_harmful) {
            return Err(KeyError::Name(name.into()));
        }
        let key = minisign_verify::PublicKey::from_base64(base64.trim());
        Ok(Self { name: name.into(), key: key.map_err(|_| KeyError::Text(name.into()))? })
    }

    /// The key in minisign's `.pub` file, named after the file.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let read = || {
            let mut text = String::new();
            fs::File::open(path)?.take(LARGEST_SIGNATURE).read_to_string(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|e| KeyError::Read(path.into(), e))?;
        let key = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
        Self::new(&name, key.unwrap_or_default())
    }
}

/// The key itself is long, and public.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.name)
    }
}

/// Whose signatures count.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// The keys.
    pub keys: &'a [PublicKey],
    /// Whether a bundle without a signature by one of them is refused.
    pub required: bool,
}

impl Trust<'_> {
    /// No key is known, and none is asked for.
    pub const ANYBODY: Self = Trust { keys: &[], required: false };
}

/// Why a signature is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none, and one is required.
    Unsigned,
    /// It is of none of the keys, and one of them is required.
    UnknownKey,
    /// It is damaged, or does not fit the manifest: what is wrong with it.
    Bad(String),
}

/// Whose signature of `manifest`, whose SHA-256 is `digest`, this is; none where that is not known and need not be.
///
/// # Errors
/// Why it is not accepted. A signature by a known key that does not fit never is.
pub fn signer(
    manifest: &[u8],
    digest: &str,
    signature: Option<&[u8]>,
    trust: Trust<'_>,
) -> Result<Option<String>, Refusal> {
    let Some(bytes) = signature else {
        return if trust.required { Err(Refusal::Unsigned) } else { Ok(None) };
    };
    let damaged = || Refusal::Bad("is no minisign signature: it was damaged".into());
    let text = str::from_utf8(bytes).map_err(|_| damaged())?;
    let signature = Signature::decode(text).map_err(|_| damaged())?;
    for key in trust.keys {
        match key.key.verify(manifest, &signature, false) {
            Ok(()) => return Ok(Some(key.name.clone())),
            // Another key's.
            Err(Error::UnexpectedKeyId) => {}
            Err(Error::UnexpectedAlgorithm) => {
                return Err(Refusal::Bad("is of minisign's old kind, which signs no digest".into()));
            }
            Err(_) => return Err(Refusal::Bad(misfit(signature.trusted_comment(), digest))),
        }
    }
    if trust.required { Err(Refusal::UnknownKey) } else { Ok(None) }
}

/// Why a signature does not fit, as far as its own comment says what it was made for.
fn misfit(comment: &str, digest: &str) -> String {
    let meant = comment.split_whitespace().find_map(|word| word.strip_prefix(DIGEST_MARK));
    match meant {
        Some(meant) if meant != digest => format!(
            "does not fit manifest.json: it was made for the manifest {}, this one is {}; the manifest was changed \
             after signing, or the signature is another bundle's",
            short(meant),
            short(digest)
        ),
        _ => "does not fit manifest.json: one of the two was changed after signing".into(),
    }
}

fn short(digest: &str) -> String {
    digest.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

//! A key pair on disk, as minisign writes it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Cursor, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

/// The environment variable that a password may come from.
const PASSWORD: &str = "NERVELIGHT_KEY_PASSWORD";
/// Bytes of a key's file, at most.
const LARGEST: u64 = 8 << 10;

/// A secret key that is ready to sign.
pub struct SigningKey {
    /// Name of its file, without extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    secret: SecretKey,
}

/// Never the key itself.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.path.display())
    }
}

/// Makes a key pair: the secret one at `name`.key, for its owner alone, and the public one at `name`.pub. The password comes
/// from the environment or is asked for twice. Returns the public key, the text that carts are given.
pub fn make(name: &Path, has_password: bool) -> Result<String> {
    let [secret_path, public_path] = ["key", "pub"].map(|extension| with(name, extension));
    for path in [&secret_path, &public_path] {
        if path.exists() {
            bail!(
                "{}: is there already. A key that signed bundles cannot be made anew: choose another name, or move the \
                 old one away",
                path.display()
            );
        }
    }
    if let Some(folder) = name.parent().filter(|folder| *folder != Path::new("")) {
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    }
    let pair = match has_password {
        true => KeyPair::generate_encrypted_keypair(password()?),
        false => KeyPair::generate_unencrypted_keypair(),
    };
    let pair = pair.map_err(|e| anyhow!("no key was made: {e}"))?;
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let secret = pair.sk.to_box(Some(&format!("nervelight secret key {name}")))?;
    let public = pair.pk.to_box()?.into_string();
    create(&public_path, 0o644, &public)?;
    if let Err(error) = create(&secret_path, 0o600, &secret.into_string()) {
        // Without the secret key it is of no use.
        let _ = fs::remove_file(&public_path);
        return Err(error);
    }
    Ok(pair.pk.to_base64())
}

/// `name` with this extension after it; a dot that it has stays.
fn with(name: &Path, extension: &str) -> PathBuf {
    let mut text = name.as_os_str().to_owned();
    text.push(".");
    text.push(extension);
    text.into()
}

/// Writes a file that is not there yet.
fn create(path: &Path, mode: u32, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

/// The password in the environment; none where a person is to be asked.
fn password() -> Result<Option<String>> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(Some(password)),
        Err(_) if io::stdin().is_terminal() => Ok(None),
        Err(_) => bail!("there is no terminal to ask for the key's password: set {PASSWORD}"),
    }
}

impl SigningKey {
    /// Reads the secret key at `path`; asks for its password where it has one that is not in the environment.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |why: String| anyhow!("{}: {why}", path.display());
        let size = fs::metadata(path).with_context(|| format!("{}: cannot be read", path.display()))?.len();
        if size > LARGEST {
            return Err(wrong("is no secret key of minisign; name the .key file".into()));
        }
        let text = fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        let parse = || SecretKeyBox::from_string(&text);
        // What is not encrypted says so itself.
        let secret = match parse().and_then(SecretKeyBox::into_unencrypted_secret_key) {
            Ok(secret) => secret,
            Err(error) if error.to_string().contains("might be encrypted") => {
                let password = password()?;
                let decrypted = parse().and_then(|key| key.into_secret_key(password));
                decrypted.map_err(|e| wrong(format!("{e}. Type the password again, or set {PASSWORD}")))?
            }
            // The program minisign gives a key without a password no checksum, and the library takes none without.
            Err(error) if error.to_string().contains("Corrupted") => {
                return Err(wrong(
                    "is damaged, or was made by the program minisign without a password (-W); make a key with a \
                     password there, or one with `keygen`"
                        .into(),
                ));
            }
            Err(_) => {
                return Err(wrong(
                    "is no secret key of minisign, or damaged; name the .key file of `keygen`".into(),
                ));
            }
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, path: path.into(), secret })
    }

    /// minisign's signature of `bytes`, with a comment that it covers.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<Vec<u8>, minisign::PError> {
        let untrusted = format!("signature from nervelight key {}", self.name);
        let public = PublicKey::from_secret_key(&self.secret)?;
        let signed =
            minisign::sign(Some(&public), &self.secret, Cursor::new(bytes), Some(comment), Some(&untrusted))?;
        Ok(signed.to_string().into_bytes())
    }
}

//! The file of tokens: names, roles and Argon2 hashes. Nobody can make a token out of it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{Timestamp, Unit};
use nervelight_engines::digest::hex;
use rustix::fs::{FlockOperation, flock};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use super::caller::Role;
use crate::secret;

/// How every token begins, so that it is known for one wherever it turns up.
pub const PREFIX: &str = "nvl_";
const SCHEMA: u32 = 1;
/// More is a mistake of a program that adds them.
const MOST: usize = 1000;
const LONGEST_NAME: usize = 64;
const LONGEST_FILE: u64 = 1 << 20;

/// One token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Stands in the token itself, so that the hash to compare with is known.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// Argon2id of its secret part, in PHC's notation.
    pub hash: String,
    /// When it was made.
    pub created: String,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    schema: u32,
    tokens: Vec<Token>,
}

impl Token {
    /// Whether `secret` is this token's secret part. Slow by design.
    pub fn is_proven_by(&self, secret: &str) -> bool {
        let Ok(hash) = PasswordHash::new(&self.hash) else { return false };
        Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok()
    }
}

/// The parts of a token: its id and its secret.
pub fn parts(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix(PREFIX)?.split_once('_')
}

/// Every token in the file at `path`.
///
/// # Errors
/// When it cannot be read, or everybody may read it.
pub fn read(path: &Path) -> Result<Vec<Token>> {
    let about = fs::metadata(path).with_context(|| {
        format!(
            "tokens {}: cannot be read. Make it with `nervelightd token add NAME --role ROLE --file FILE`",
            path.display()
        )
    })?;
    let name = || format!("tokens {}", path.display());
    ensure!(about.is_file() && about.len() <= LONGEST_FILE, "{}: is no file of tokens", name());
    secret::not_for_everybody(&about, path).with_context(name)?;
    let text = fs::read_to_string(path).with_context(name)?;
    let Tokens { schema, tokens } = serde_json::from_str(&text).with_context(|| {
        format!("{}: is damaged. Restore it, or remove it and add the tokens anew", name())
    })?;
    ensure!(schema == SCHEMA, "{}: has schema {schema}, this program reads {SCHEMA}. Update it", name());
    Ok(tokens)
}

/// Adds a token and returns it; this is the only time that it is seen.
///
/// # Errors
/// When there is one of that name, or the file cannot be written.
pub fn add(path: &Path, name: &str, role: Role) -> Result<String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    ensure!(
        (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_good),
        "a token's name has 1 to {LONGEST_NAME} letters, digits and . _ @ -"
    );
    let mut bytes = [0; 36];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    let (id, secret) = bytes.split_at(4);
    let id = hex(id);
    let secret = BASE64_URL_SAFE_NO_PAD.encode(secret);
    let hash =
        Argon2::default().hash_password(secret.as_bytes()).map_err(|error| anyhow!("Argon2: {error}"))?;
    let created = Timestamp::now().round(Unit::Second)?.to_string();
    let token = Token { id: id.clone(), name: name.into(), role, hash: hash.to_string(), created };
    change(path, |tokens| {
        ensure!(tokens.len() < MOST, "there are {MOST} tokens already. Revoke some");
        if tokens.iter().any(|known| known.name == name) {
            bail!("there is a token named {name} already. Choose another name, or revoke it first");
        }
        tokens.retain(|known| known.id != token.id);
        tokens.push(token);
        Ok(())
    })?;
    Ok(format!("{PREFIX}{id}_{secret}"))
}

/// Removes the token of this name.
///
/// # Errors
/// When there is none, or the file cannot be written.
pub fn revoke(path: &Path, name: &str) -> Result<()> {
    change(path, |tokens| {
        let before = tokens.len();
        tokens.retain(|token| token.name != name);
        ensure!(tokens.len() < before, "there is no token named {name}: `nervelightd token list` lists all");
        Ok(())
    })
}

/// Replaces the file by what `change` makes of it, one process after the other.
fn change(path: &Path, change: impl FnOnce(&mut Vec<Token>) -> Result<()>) -> Result<()> {
    let folder = nervelight_engines::store::atomic::directory(path);
    let held =
        fs::File::open(folder).with_context(|| format!("the folder {} cannot be used", folder.display()))?;
    flock(&held, FlockOperation::LockExclusive)?;
    let mut tokens = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => vec![],
        _ => read(path)?,
    };
    change(&mut tokens)?;
    let text = serde_json::to_string_pretty(&Tokens { schema: SCHEMA, tokens })? + "\n";
    secret::write(path, text.as_bytes())
        .with_context(|| format!("tokens {}: cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_shown_once_and_known_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let token = add(&path, "alice", Role::Deploy).unwrap();
        let other = add(&path, "bob@ward-3", Role::View).unwrap();
        let (id, secret) = parts(&token).unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
        let kept = read(&path).unwrap();
        assert_eq!((kept.len(), kept[0].id.as_str(), kept[0].role), (2, id, Role::Deploy));
        assert!(kept[0].is_proven_by(secret) && !kept[1].is_proven_by(secret));
        assert!(!kept[0].is_proven_by(parts(&other).unwrap().1) && !kept[0].is_proven_by(""));
        assert!(kept[0].hash.starts_with("$argon2id$"));
        assert!(!fs::read_to_string(&path).unwrap().contains(secret));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        revoke(&path, "alice").unwrap();
        assert_eq!(read(&path).unwrap()[0].name, "bob@ward-3");
    }

    #[test]
    fn what_cannot_be_is_refused_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("token add"));
        add(&path, "alice", Role::View).unwrap();
        let before = fs::read(&path).unwrap();
        for name in ["alice", "", "a b", "ä", &"a".repeat(65)] {
            add(&path, name, Role::View).unwrap_err();
        }
        assert!(revoke(&path, "carol").unwrap_err().to_string().contains("token list"));
        assert_eq!(fs::read(&path).unwrap(), before);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("chmod o="));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(format!("{:#}", add(&path, "dave", Role::View).unwrap_err()).contains("damaged"));
        fs::write(&path, "{\"schema\": 2, \"tokens\": []}").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("schema 2"));
    }
}

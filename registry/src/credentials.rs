//! Who a program is to a registry. Credentials come from a file that not everybody may read, and are never printed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::RegistryError;

/// No file of credentials is larger.
const LARGEST: u64 = 1 << 20;

/// Who a program is to a registry.
#[derive(Clone)]
pub struct Credentials(RegistryAuth);

/// The part of docker's config.json that holds users and passwords.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    auth: Option<String>,
}

impl Credentials {
    /// Of nobody in particular.
    pub fn anonymous() -> Self {
        Self(RegistryAuth::Anonymous)
    }

    /// Of the registry `host`, from a file: docker's config.json, or one line `user:password`.
    ///
    /// # Errors
    /// When the file cannot be read, everybody may read it, or it holds nothing for this registry.
    pub fn read(path: &Path, host: &str) -> Result<Self, RegistryError> {
        let bad = |reason: String| RegistryError::Credentials { path: path.into(), reason };
        let io =
            |error: std::io::Error| bad(format!("{error}. Check the path, and that this user may read it"));
        let file = File::open(path).map_err(io)?;
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(bad("is no file. Name a file that holds the credentials".into()));
        }
        if about.permissions().mode() & 0o007 != 0 {
            let remedy = format!("chmod o= {}", path.display());
            return Err(bad(format!(
                "may be read by everybody on this machine. Take that from them: {remedy}"
            )));
        }
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(io)?;
        let pair = match text.trim_start().starts_with('{') {
            true => of_docker(&text, host).map_err(bad)?,
            false => text.trim_end_matches(['\r', '\n']).to_owned(),
        };
        match pair.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() && !pair.contains('\n') => {
                Ok(Self(RegistryAuth::Basic(user.into(), password.into())))
            }
            _ => Err(bad("holds neither docker's config.json nor one line user:password".into())),
        }
    }

    /// What must never be printed.
    pub fn secret(&self) -> Option<&str> {
        match &self.0 {
            RegistryAuth::Basic(_, password) => Some(password),
            _ => None,
        }
    }

    pub(crate) fn auth(&self) -> &RegistryAuth {
        &self.0
    }
}

/// `user:password` of `host` in docker's config.json. The reasons quote nothing of it.
fn of_docker(text: &str, host: &str) -> Result<String, String> {
    let config: DockerConfig = serde_json::from_str(text)
        .map_err(|error| format!("is no config.json of docker (line {})", error.line()))?;
    let of_host = |name: &str| {
        let name = name.trim_start_matches("https://").trim_start_matches("http://");
        name.split('/').next() == Some(host)
    };
    let entry = config.auths.into_iter().find(|(name, _)| of_host(name));
    let Some((_, DockerAuth { auth: Some(auth) })) = entry else {
        return Err(format!(
            "holds no user and password for {host}; helpers that keep them elsewhere are not asked. Write one line \
             user:password into a file instead"
        ));
    };
    let bytes = STANDARD.decode(auth).map_err(|_| format!("its entry for {host} is no base64"))?;
    String::from_utf8(bytes).map_err(|_| format!("its entry for {host} is no text"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn read(text: &str, mode: u32) -> Result<(String, String), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        match Credentials::read(&path, "registry.example.org").map_err(|error| error.to_string())?.0 {
            RegistryAuth::Basic(user, password) => Ok((user, password)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_kinds_of_file_are_read() {
        let expected = ("cart7".to_owned(), "two:words".to_owned());
        assert_eq!(read("cart7:two:words\n", 0o600).unwrap(), expected);
        let docker = format!(
            "{{\"auths\": {{\"https://other\": {{}}, \"https://registry.example.org/v2/\": {{\"auth\": \"{}\"}}}}}}",
            STANDARD.encode("cart7:two:words")
        );
        assert_eq!(read(&docker, 0o640).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_used_is_said_and_never_quoted() {
        for (text, mode, words) in [
            ("cart7:s3cret", 0o644, "chmod o="),
            ("s3cret", 0o600, "user:password"),
            ("a:s3cret\nb:c\n", 0o600, "one line"),
            ("{\"auths\": {}}", 0o600, "no user and password for registry.example.org"),
            ("{\"auths\": {\"registry.example.org\": {\"auth\": \"s3cret!\"}}}", 0o600, "base64"),
            ("{\"auths\": s3cret", 0o600, "config.json"),
        ] {
            let said = read(text, mode).unwrap_err();
            assert!(said.contains(words) && !said.contains("s3cret"), "{text}: {said}");
        }
    }
}

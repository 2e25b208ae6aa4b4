//! Where a bundle lies: a tag of a registry's repository, or a tag of a layout in a folder.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use oci_client::Reference;

use crate::RegistryError;

/// Where a bundle lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a registry: `oci://HOST[:PORT]/REPOSITORY:TAG`.
    Registry(Repository),
    /// In a layout: `oci:FOLDER:TAG`.
    Layout {
        /// The layout's folder.
        folder: PathBuf,
        /// The tag in it.
        tag: String,
    },
}

/// A tag of a registry's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Host, and port if that is not the protocol's own.
    pub host: String,
    /// The repository's name.
    pub name: String,
    /// The tag.
    pub tag: String,
}

impl Repository {
    /// Whether the registry is on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// The same repository under another tag.
    pub(crate) fn tagged(&self, tag: String) -> Self {
        Self { tag, ..self.clone() }
    }

    pub(crate) fn reference(&self) -> Reference {
        Reference::with_tag(self.host.clone(), self.name.clone(), self.tag.clone())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}:{}", self.host, self.name, self.tag)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(repository) => repository.fmt(f),
            Self::Layout { folder, tag } => write!(f, "oci:{}:{tag}", folder.display()),
        }
    }
}

impl FromStr for Repository {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let no = |reason| RegistryError::Place { text: hide_user(text), reason };
        let rest = text.strip_prefix("oci://").ok_or_else(|| no("it does not begin with oci://"))?;
        if rest.contains('@') {
            return Err(no("it holds a user or a digest. Credentials belong in a file"));
        }
        let (host, path) = rest.split_once('/').ok_or_else(|| no("it has no repository"))?;
        let (name, tag) = path.rsplit_once(':').ok_or_else(|| no("it has no tag"))?;
        let is_host = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'));
        if !is_host {
            return Err(no("its host is none"));
        }
        if !is_name(name) {
            return Err(no("a repository's name takes lower-case letters, digits and ._-/"));
        }
        if !is_tag(tag) {
            return Err(no("a tag takes up to 128 letters, digits and ._-"));
        }
        Ok(Self { host: host.into(), name: name.into(), tag: tag.into() })
    }
}

impl FromStr for Place {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, RegistryError> {
        if text.starts_with("oci://") {
            return Ok(Self::Registry(text.parse()?));
        }
        let no = |reason| RegistryError::Place { text: text.into(), reason };
        let rest = text.strip_prefix("oci:").ok_or_else(|| no("it does not begin with oci:"))?;
        match rest.rsplit_once(':') {
            Some((folder, tag)) if !folder.is_empty() && is_tag(tag) => {
                Ok(Self::Layout { folder: folder.into(), tag: tag.into() })
            }
            _ => Err(no("it has no folder or no tag")),
        }
    }
}

/// A user and password that do not belong there must not be printed.
fn hide_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("oci://***@{rest}"),
        None => text.into(),
    }
}

/// Whether the distribution specification knows it as a repository's name.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(is_plain)
            && part.ends_with(is_plain)
            && part.chars().all(|c| is_plain(c) || matches!(c, '.' | '_' | '-'))
    };
    name.len() <= 255 && name.split('/').all(is_part)
}

/// The same of a tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(is_word) && tag.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for text in
            ["oci://registry.example.org/nervelight/nerve:stable", "oci://127.0.0.1:5000/nerve:1.2_a-b"]
        {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
            assert!(matches!(place, Place::Registry(_)));
        }
        let layout: Place = "oci:/media/stick/models:stable".parse().unwrap();
        assert_eq!(layout, Place::Layout { folder: "/media/stick/models".into(), tag: "stable".into() });
        for bad in [
            "registry/nerve:stable",
            "oci://registry",
            "oci://registry/nerve",
            "oci:///nerve:stable",
            "oci://r/Nerve:x",
            "oci://r/a//b:x",
            "oci://r/nerve:",
            "oci:folder",
            "oci::stable",
            "oci://r/nerve:a b",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
        let said = "oci://nurse:s3cret@r/nerve:x".parse::<Place>().unwrap_err().to_string();
        assert!(!said.contains("s3cret") && said.contains("file"), "{said}");
    }

    #[test]
    fn loopback_is_known() {
        let is_loopback = |text: &str| text.parse::<Repository>().unwrap().is_loopback();
        assert!(is_loopback("oci://127.0.0.1:5000/a:b") && is_loopback("oci://localhost/a:b"));
        assert!(!is_loopback("oci://127.0.0.1.example.org/a:b") && !is_loopback("oci://r:5000/a:b"));
    }
}

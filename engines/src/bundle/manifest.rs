//! What a bundle says of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path, PathBuf};

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::contract::{HEIGHT, WIDTH};
use crate::say;

/// The manifest's layout that this version reads and writes.
pub const SCHEMA: u32 = 1;
/// What a map shows; there is no other yet.
const CLASS: &str = "nerve";

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of this file, [`SCHEMA`].
    pub schema: u32,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// Grows with every signed bundle, so that an old one cannot be passed off as an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// Size of crop and map in pixels.
    pub geometry: Geometry,
    /// Least probability that counts as nerve, 0..1.
    pub threshold: f32,
    /// Least area in pixels of a nerve; smaller components are noise.
    pub min_area: u32,
    /// What the map shows.
    pub class: String,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// Every other file of the bundle, by its path relative to the bundle.
    #[serde(default, deserialize_with = "without_duplicates")]
    pub files: BTreeMap<String, FileDigest>,
}

impl Manifest {
    /// Of a model of the contract's geometry that shows nerves, at threshold 0.5 with components of any area;
    /// nothing is said of its origin, and there are no files yet.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            name: name.into(),
            version: version.into(),
            serial: None,
            geometry: Geometry::default(),
            threshold: 0.5,
            min_area: 1,
            class: "nerve".into(),
            provenance: Provenance::default(),
            files: BTreeMap::new(),
        }
    }

    /// The threshold on a map's bytes: probability x 255, rounded up to the next byte, so that
    /// `byte >= threshold_byte()` never counts a probability under the threshold.
    pub fn threshold_byte(&self) -> u8 {
        threshold_byte(self.threshold)
    }
}

/// See [`Manifest::threshold_byte`].
pub fn threshold_byte(threshold: f32) -> u8 {
    (threshold * 255.0).ceil().clamp(1.0, 255.0) as u8
}

/// Size of crop and map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Default for Geometry {
    fn default() -> Self {
        Self { width: WIDTH, height: HEIGHT }
    }
}

/// Where a model comes from: enough to train it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The network's name and width, such as `vgg16-fcn x0.25`.
    pub network: String,
    /// SHA-256 over the names and contents of the training data, and over the digest of its
    /// corrections where it has any.
    pub data_digest: String,
    /// SHA-256 of the file of corrections that were applied to the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrections_digest: Option<String>,
    /// SHA-256 of the split into training and validation.
    pub split_digest: String,
    /// The run's seed.
    pub seed: u64,
    /// Revision of the code that trained it.
    pub revision: String,
    /// The command that made the bundle.
    pub command: String,
    /// Figures on the validation data, by name.
    #[serde(deserialize_with = "without_duplicates")]
    pub metrics: BTreeMap<String, f64>,
}

/// SHA-256 and size of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Hexadecimal, lower case.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Manifest {
    /// Reads a manifest whose schema is known to be [`SCHEMA`].
    ///
    /// # Errors
    /// What is wrong with it: a key that is unknown, missing or there twice, a control character, a file outside the
    /// bundle, a class that is unknown, a threshold that is no probability.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let Self { threshold, class, files, .. } = &manifest;
        if !(*threshold > 0.0 && *threshold <= 1.0) {
            return Err(format!("threshold {threshold} is not a probability over 0"));
        }
        if class != CLASS {
            return Err(format!("class {class:?} is unknown; there is {CLASS:?}"));
        }
        if let Some(name) = files.keys().find(|name| !is_plain(name)) {
            return Err(format!("file name {name:?} leaves the bundle"));
        }
        let value = serde_json::to_value(&manifest).map_err(|e| e.to_string())?;
        if let Some(text) = with_control_character(&value) {
            return Err(format!("{text:?} holds a control character"));
        }
        Ok(manifest)
    }
}

fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    // Written in one way only: two names of one file would be two files.
    let is_canonical = parts.clone().collect::<PathBuf>().as_os_str() == name;
    is_canonical && !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// A text that would do something to the terminal it is printed on.
fn with_control_character(value: &serde_json::Value) -> Option<&str> {
    let bad = |text: &str| text.chars().any(say::is_harmful);
    match value {
        serde_json::Value::String(text) => bad(text).then_some(text.as_str()),
        serde_json::Value::Array(values) => values.iter().find_map(with_control_character),
        serde_json::Value::Object(map) => {
            map.iter().find_map(
                |(key, value)| {
                    if bad(key) { Some(key.as_str()) } else { with_control_character(value) }
                },
            )
        }
        _ => None,
    }
}

/// A map whose keys are there once: of two equal ones the second would silently count.
fn without_duplicates<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Once<T>(PhantomData<T>);
    impl<'de, T: DeserializeOwned> Visitor<'de> for Once<T> {
        type Value = BTreeMap<String, T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }
        fn visit_map<M: MapAccess<'de>>(self, mut access: M) -> Result<Self::Value, M::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, T>()? {
                if let Some(key) = map.contains_key(&key).then_some(&key) {
                    return Err(M::Error::custom(format!("key {key:?} is there twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Once(PhantomData))
}

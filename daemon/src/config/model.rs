//! `[model]`: the bundle, the store of bundles, and whose signatures count.

use std::path::{Path, PathBuf};

use nervelight_engines::bundle::PublicKey;
use serde::Deserialize;

use crate::config::follow::{Follow, RawFollow};
use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    pub bundle: Option<PathBuf>,
    pub store: Option<PathBuf>,
    pub keys: Vec<RawKey>,
    pub require_signature: Option<bool>,
    pub follow: Option<RawFollow>,
}

/// A public key as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawKey {
    pub name: String,
    pub key: String,
}

/// The section as used.
#[derive(Debug)]
pub struct Model {
    pub bundle: Option<PathBuf>,
    pub store: Option<PathBuf>,
    pub keys: Vec<PublicKey>,
    pub require_signature: bool,
    pub follow: Option<Follow>,
}

impl RawModel {
    /// Where models come from. `exposed` says that the page, over which they can be deployed, listens off loopback.
    pub fn resolve(&self, exposed: bool, base: &Path, mistakes: &mut Mistakes) -> Option<Model> {
        let before = mistakes.len();
        let bundle = self.bundle.as_ref().map(|path| base.join(path));
        let store = self.store.as_ref().map(|path| base.join(path));
        match (&bundle, &store) {
            (None, None) => mistakes.add(
                "model.bundle",
                "is missing: set it to the model's bundle, directory or tar, or model.store to a folder of bundles",
            ),
            // With a store it is only looked at while that is new, and may be gone later.
            (Some(bundle), None) => {
                mistakes.check(bundle.exists(), "model.bundle", "does not exist. Check the path");
            }
            _ => {}
        }
        if let Some(store) = &store {
            let is_folder = store.is_dir() || (!store.exists() && store.parent().is_some_and(Path::is_dir));
            mistakes.check(is_folder, "model.store", "is no folder, nor in one. Make the folder it is in");
        }
        let keys = self.keys(mistakes);
        let follow = self.follow.as_ref().and_then(|follow| follow.resolve(base, mistakes));
        mistakes.check(
            self.follow.is_none() || store.is_some(),
            "model.store",
            "is missing, and what is followed is kept there. Set it to a folder of bundles, or leave model.follow out",
        );
        // Whoever can write to the registry could choose the model.
        let is_open = exposed || self.follow.is_some();
        let require_signature = self.require_signature.unwrap_or(is_open && store.is_some());
        mistakes.check(
            !require_signature || !self.keys.is_empty(),
            "model.keys",
            "is empty, but only signed bundles are accepted here (model.require_signature, which is true by default \
             when http.listen is off loopback, and with model.follow). Add [[model.keys]] with a name and the key that `nervelight-train \
             keygen` printed",
        );
        (mistakes.len() == before).then_some(Model { bundle, store, keys, require_signature, follow })
    }

    fn keys(&self, mistakes: &mut Mistakes) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> = vec![];
        for (i, RawKey { name, key }) in self.keys.iter().enumerate() {
            let is_known = keys.iter().any(|known| known.name == *name);
            mistakes.check(
                !is_known,
                &format!("model.keys[{i}].name"),
                "is another key's too. Name each anew",
            );
            match PublicKey::new(name, key) {
                Ok(key) => keys.push(key),
                Err(error) => mistakes.add(format!("model.keys[{i}]"), error.to_string()),
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn resolved(text: &str, exposed: bool) -> Result<Model, String> {
        let raw: RawModel = toml::from_str(text).unwrap();
        let mut mistakes = Mistakes::default();
        let model = raw.resolve(exposed, Path::new(env!("CARGO_MANIFEST_DIR")), &mut mistakes);
        let said =
            mistakes.into_list().into_iter().map(|m| format!("{}: {}", m.key.unwrap_or_default(), m.message));
        model.ok_or_else(|| said.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn signatures_are_required_where_others_can_deploy() {
        let keys = format!("[[keys]]\nname = \"lab\"\nkey = \"{KEY}\"\n");
        for (text, exposed, required) in [
            ("bundle = \"/\"\n", false, false),
            ("bundle = \"/\"\n", true, false),
            ("store = \"s\"\n", false, false),
            (&*format!("store = \"s\"\n{keys}"), true, true),
            (&*format!("store = \"s\"\nrequire_signature = false\n{keys}"), true, false),
            (&*format!("store = \"s\"\nrequire_signature = true\n{keys}"), false, true),
        ] {
            assert_eq!(resolved(text, exposed).unwrap().require_signature, required, "{text} {exposed}");
        }
        assert!(resolved("store = \"s\"", true).unwrap_err().contains("model.keys: is empty"));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, expected) in [
            ("", "model.bundle: is missing"),
            ("bundle = \"/none\"", "model.bundle: does not exist"),
            ("store = \"/none/s\"", "model.store: is no folder, nor in one"),
            (
                "store = \"s\"\n[[keys]]\nname = \"a\"\nkey = \"RWQ\"",
                "model.keys[0]: key \"a\" is no minisign public key",
            ),
            (&*format!("store = \"s\"\n[[keys]]\nkey = \"{KEY}\""), "model.keys[0]: key name \"\" must"),
        ] {
            let said = resolved(text, false).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
        let twice =
            format!("store = \"s\"\n{}", format!("[[keys]]\nname = \"a\"\nkey = \"{KEY}\"\n").repeat(2));
        assert!(resolved(&twice, false).unwrap_err().contains("model.keys[1].name: is another key's too"));
    }
}

//! `[harvest]`: which crops are kept for retraining, and where.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evdev::KeyCode;
use serde::Deserialize;

use crate::config::mistakes::{Mistakes, has_folder};

/// Bytes in a megabyte, as disks are sold.
const MEGABYTE: u64 = 1_000_000;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHarvest {
    pub path: Option<PathBuf>,
    pub quota_mb: u64,
    pub min_interval_s: f64,
    pub uncertainty: f64,
    pub area_jump: f64,
    pub case_gap_min: u64,
    pub key_device: Option<PathBuf>,
    pub key: Option<String>,
}

impl Default for RawHarvest {
    fn default() -> Self {
        Self {
            path: None,
            quota_mb: 2000,
            min_interval_s: 10.0,
            uncertainty: 0.25,
            area_jump: 0.5,
            case_gap_min: 30,
            key_device: None,
            key: None,
        }
    }
}

/// What is kept for retraining.
#[derive(Debug, Clone)]
pub struct Harvest {
    /// The folder.
    pub path: PathBuf,
    /// Bytes that the folder may take.
    pub quota: u64,
    /// Least time between two that nobody flagged.
    pub min_interval: Duration,
    /// Least uncertainty of a map that is kept, 0 to 1.
    pub uncertainty: f64,
    /// Least change of the nerve's area from one frame to the next that is kept, as a share of the larger.
    pub area_jump: f64,
    /// After so long without a moving picture another patient may lie there.
    pub case_gap: Duration,
    /// The key at the cart that flags a moment.
    pub key: Option<FlagKey>,
}

/// A key of an input device, such as a foot switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagKey {
    /// Such as `/dev/input/by-id/usb-foot-switch-event-kbd`.
    pub device: PathBuf,
    /// Such as `KEY_B`; none for any key of the device.
    pub key: Option<KeyCode>,
}

impl RawHarvest {
    /// What is kept; none if there is no folder for it, or the section has a mistake.
    pub fn resolve(&self, base: &Path, mistakes: &mut Mistakes) -> Option<Harvest> {
        let before = mistakes.len();
        mistakes.check(
            (10..=1_000_000_000).contains(&self.quota_mb),
            "harvest.quota_mb",
            "must be from 10 to 1000000000 megabytes",
        );
        mistakes.check(
            (0.0..=86_400.0).contains(&self.min_interval_s),
            "harvest.min_interval_s",
            "must be from 0 to 86400 seconds",
        );
        for (key, value) in [("harvest.uncertainty", self.uncertainty), ("harvest.area_jump", self.area_jump)]
        {
            mistakes.check((0.0..=1.0).contains(&value), key, "must be from 0 to 1");
        }
        mistakes.check(
            (1..=1440).contains(&self.case_gap_min),
            "harvest.case_gap_min",
            "must be from 1 to 1440 minutes",
        );
        let key = self.key(mistakes);
        let Some(path) = self.path.as_ref().map(|path| base.join(path)) else {
            mistakes.check(
                self.key_device.is_none(),
                "harvest.key_device",
                "flags nothing without harvest.path. Set the folder that crops are kept in",
            );
            return None;
        };
        mistakes.check(
            has_folder(&path),
            "harvest.path",
            "is in a folder that does not exist. Make that folder first",
        );
        mistakes.check(!path.is_file(), "harvest.path", "is a file. Name a folder");
        (mistakes.len() == before).then(|| Harvest {
            path,
            quota: self.quota_mb * MEGABYTE,
            min_interval: Duration::from_secs_f64(self.min_interval_s),
            uncertainty: self.uncertainty,
            area_jump: self.area_jump,
            case_gap: Duration::from_secs(60 * self.case_gap_min),
            key,
        })
    }

    fn key(&self, mistakes: &mut Mistakes) -> Option<FlagKey> {
        let key = self.key.as_ref().and_then(|name| {
            let known = name.parse::<KeyCode>().ok();
            let what =
                "is no key. Use a name such as \"KEY_B\" or \"BTN_LEFT\"; `evtest` shows what a device sends";
            mistakes.check(known.is_some(), "harvest.key", what);
            known
        });
        let Some(device) = self.key_device.clone() else {
            let why = "needs harvest.key_device, such as \"/dev/input/by-id/usb-foot-switch-event-kbd\"";
            mistakes.check(self.key.is_none(), "harvest.key", why);
            return None;
        };
        mistakes.check(device.is_absolute(), "harvest.key_device", "must be a device under /dev/input");
        Some(FlagKey { device, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> (Option<Harvest>, String) {
        let raw: RawHarvest = toml::from_str(text).unwrap();
        let mut mistakes = Mistakes::default();
        let harvest = raw.resolve(Path::new("/"), &mut mistakes);
        (harvest, mistakes.into_list().iter().map(|problem| format!("{problem:?}")).collect())
    }

    #[test]
    fn nothing_is_kept_unless_there_is_a_folder_for_it() {
        let (harvest, said) = resolved("");
        assert!(harvest.is_none() && said.is_empty(), "{said}");
        let (harvest, said) = resolved("path = \"tmp\"\nkey_device = \"/dev/input/event3\"\nkey = \"KEY_B\"");
        let harvest = harvest.unwrap_or_else(|| panic!("{said}"));
        assert_eq!((harvest.path, harvest.quota), ("/tmp".into(), 2_000_000_000));
        let key = FlagKey { device: "/dev/input/event3".into(), key: Some(KeyCode::KEY_B) };
        assert_eq!(harvest.key, Some(key));
    }

    #[test]
    fn mistakes_name_their_key() {
        for (text, key, why) in [
            ("quota_mb = 1", "quota_mb", "from 10"),
            ("min_interval_s = -1.0", "min_interval_s", "from 0"),
            ("uncertainty = 1.5", "uncertainty", "from 0 to 1"),
            ("area_jump = -0.5", "area_jump", "from 0 to 1"),
            ("case_gap_min = 0", "case_gap_min", "from 1"),
            ("path = \"nowhere/harvest\"", "path", "does not exist"),
            ("key = \"KEY_B\"", "key", "needs harvest.key_device"),
            ("path = \"tmp\"\nkey_device = \"/dev/input/event3\"\nkey = \"pedal\"", "key", "is no key"),
            ("key_device = \"/dev/input/event3\"", "key_device", "without harvest.path"),
        ] {
            let (harvest, said) = resolved(text);
            assert!(harvest.is_none(), "{text}");
            assert!(said.contains(&format!("harvest.{key}\"")) && said.contains(why), "{text}: {said}");
        }
    }
}

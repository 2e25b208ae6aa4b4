//! Which settings may change when a run is resumed.

use anyhow::{Result, bail};
use toml::Table;

use super::schedule::Kind;
use super::settings::Settings;

/// Keys that a resumed run takes as given: how long and on what it trains. The config of a run was
/// found under `run`, and `data` and `corrections` are held to their digests, so that they may be
/// written otherwise.
const FREE: [&str; 7] = ["epochs", "threads", "device", "run", "data", "corrections", "save_every"];

/// Refuses `given` where it would train otherwise than the run's `stored` settings.
pub fn check(stored: &Settings, given: &Settings) -> Result<()> {
    let (old, new) = (Table::try_from(stored)?, Table::try_from(given)?);
    let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let value = |table: &Table, key: &str| {
        table.get(key).map_or_else(|| "left out".to_owned(), std::string::ToString::to_string)
    };
    // A cosine ends with the run: with more epochs every rate before would have been another.
    let free = |key: &str| FREE.contains(&key) && !(key == "epochs" && stored.schedule == Kind::Cosine);
    let changed: Vec<_> = keys
        .into_iter()
        .filter(|key| !free(key) && old.get(*key) != new.get(*key))
        .map(|key| format!("{key}: {}, now {}", value(&old, key), value(&new, key)))
        .collect();
    if !changed.is_empty() {
        bail!(
            "{}: a resumed run keeps its settings, but these differ from its config.toml:\n  {}\n\
             set them back, or start a new run: leave out --resume and set another `run`",
            given.run.display(),
            changed.join("\n  ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Augment;
    use crate::train::settings::DeviceChoice;

    #[test]
    fn every_changed_key_is_named_with_both_values() {
        let stored = Settings { run: "runs/first".into(), ..Default::default() };
        let given = Settings {
            learning_rate: 3e-4,
            augment: Augment::Light,
            epochs: 31,
            init: Some("vgg16.safetensors".into()),
            ..stored.clone()
        };
        let error = check(&stored, &given).unwrap_err().to_string();
        for expected in [
            "runs/first: ",
            "learning_rate: 0.0005, now 0.0003",
            "augment: \"full\", now \"light\"",
            "epochs: 30, now 31",
            "init: left out, now \"vgg16.safetensors\"",
            "start a new run",
        ] {
            assert!(error.contains(expected), "{expected} in {error}");
        }
        assert!(!error.contains("batch_size"), "{error}");
        assert!(check(&given, &stored).unwrap_err().to_string().contains("now left out"));
    }

    #[test]
    fn length_and_place_may_change() {
        let stored = Settings {
            run: "runs/first".into(),
            data: "data".into(),
            schedule: Kind::Plateau,
            ..Default::default()
        };
        let given = Settings {
            run: "./runs/first".into(),
            data: "data/".into(),
            epochs: 99,
            threads: 3,
            device: DeviceChoice::Cpu,
            ..stored.clone()
        };
        check(&stored, &given).unwrap();
    }
}

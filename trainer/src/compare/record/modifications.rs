//! What is another in B than in A.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::compare::saved::SavedEvaluation;

/// One thing that is another.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Modification {
    /// What: a fact of the evaluation, a setting of the training.
    pub what: String,
    /// Of A; none where A has no such thing.
    pub a: Option<String>,
    /// Of B.
    pub b: Option<String>,
}

/// Everything that differs: facts of the evaluations (data, network, revision, weights, engine, precision), operating
/// points, titles, and settings where a run's configuration lies beside.
pub fn between(a: &SavedEvaluation, b: &SavedEvaluation) -> Result<Vec<Modification>> {
    let [x, y] = [described(a)?, described(b)?];
    let names: BTreeSet<&String> = x.iter().chain(&y).map(|(name, _)| name).collect();
    // In the order of the facts, then those that only one has.
    let mut order: Vec<&String> = x.iter().map(|(name, _)| name).collect();
    let known: BTreeSet<&String> = order.iter().copied().collect();
    order.extend(names.into_iter().filter(|name| !known.contains(name)));
    let value =
        |of: &[(String, String)], name: &str| of.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let changed = order.into_iter().filter_map(|name| {
        let (a, b) = (value(&x, name), value(&y, name));
        (a != b).then(|| Modification { what: name.clone(), a, b })
    });
    Ok(changed.collect())
}

fn described(evaluation: &SavedEvaluation) -> Result<Vec<(String, String)>> {
    let about = &evaluation.about;
    let mut all = about.facts.clone();
    for point in about.points.iter().take(1) {
        for (name, value) in point {
            // What was written with 32 bits has no more digits than these.
            let text = value.as_f64().map_or_else(|| value.to_string(), |value| (value as f32).to_string());
            all.push((format!("operating point: {name}"), text));
        }
    }
    all.push(("evaluated as".into(), about.title.clone()));
    let run = evaluation.folder.parent().unwrap_or(Path::new("."));
    let settings = run.join("config.toml");
    if settings.is_file() {
        let text =
            std::fs::read_to_string(&settings).with_context(|| format!("{}: read", settings.display()))?;
        let table: toml::Table =
            text.parse().with_context(|| format!("{}: is no TOML", settings.display()))?;
        flatten("setting: ", &table, &mut all);
    }
    Ok(all)
}

/// Keys with their tables before them.
fn flatten(prefix: &str, table: &toml::Table, all: &mut Vec<(String, String)>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{name}."), inner, all),
            value => all.push((format!("{prefix}{name}"), value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_runs_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [
            ("a", "seed = 1\n[loss]\nkind = \"dice\"\n"),
            ("b", "seed = 2\n[loss]\nkind = \"dice\"\nk = 1\n"),
        ]
        .map(|(name, text)| {
            let run = folder.path().join(name);
            std::fs::create_dir_all(run.join("evaluation")).unwrap();
            std::fs::write(run.join("config.toml"), text).unwrap();
            SavedEvaluation {
                folder: run.join("evaluation"),
                about: Default::default(),
                frames: Default::default(),
            }
        });
        let found = between(&a, &b).unwrap();
        let line = |what: &str, a: Option<&str>, b: Option<&str>| Modification {
            what: what.into(),
            a: a.map(Into::into),
            b: b.map(Into::into),
        };
        assert_eq!(
            found,
            [line("setting: seed", Some("1"), Some("2")), line("setting: loss.k", None, Some("1"))]
        );
        assert!(between(&a, &a).unwrap().is_empty());
    }
}

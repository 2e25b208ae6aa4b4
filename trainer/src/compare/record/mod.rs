//! The record of a change: what changed, by which protocol it was judged, what it does. In the three parts that
//! regulators ask of a predetermined change control plan (FDA, "Marketing Submission Recommendations for a Predetermined
//! Change Control Plan for Artificial Intelligence-Enabled Device Software Functions", 2024).

mod page;
mod protocol;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nervelight_engines::Bundle;
use nervelight_engines::Manifest;
use serde::Serialize;
use serde_json::Value;

use super::comparison::Comparison;
pub use protocol::Protocol;

/// The layout of the JSON file.
const SCHEMA: u32 = 1;
/// Bytes of a shadow report, at most.
const LARGEST_REPORT: u64 = 1 << 20;

/// Everything about a change from bundle A to bundle B.
#[derive(Debug, Serialize)]
pub struct Record {
    /// Layout of this file.
    pub schema: u32,
    /// The program that made it.
    pub made_by: String,
    /// Description of modifications.
    pub modifications: Vec<Modification>,
    /// Modification protocol.
    pub protocol: Protocol,
    /// Impact assessment.
    pub impact: Impact,
}

/// One fact about both bundles.
#[derive(Debug, Serialize, PartialEq)]
pub struct Modification {
    /// Data, settings, code, or the bundle itself.
    pub part: &'static str,
    /// What.
    pub what: String,
    /// Of A and B; none where one has no such thing.
    pub values: [Option<String>; 2],
}

impl Modification {
    /// Whether A and B differ.
    pub fn is_change(&self) -> bool {
        self.values[0] != self.values[1]
    }
}

/// What the change does.
#[derive(Debug, Serialize)]
pub struct Impact {
    /// Where the two were evaluated.
    pub evaluations: [String; 2],
    /// Frames, each compared with itself.
    pub frames: usize,
    /// What the evaluations warn of.
    pub warnings: Vec<String>,
    /// A figure each.
    pub figures: Vec<Figure>,
    /// A patient or case each, those that lost most first.
    pub patients: Vec<Patient>,
    /// Frames where only one of both shows a nerve.
    pub presence_changed: Vec<String>,
    /// Frames whose Dice fell.
    pub fell: usize,
    /// The carts' own report of both models beside each other, as `GET /api/v1/shadow` gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Value>,
}

/// A figure of A and B.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Its name, such as `dice`.
    pub name: &'static str,
    /// Of A and B.
    pub means: [f64; 2],
    /// 95% interval of B - A over patients; none with one patient.
    pub interval: Option<[f64; 2]>,
}

/// A patient's, or a case's, figures.
#[derive(Debug, Serialize)]
pub struct Patient {
    /// Its number in the data.
    pub patient: u32,
    /// Its frames.
    pub frames: usize,
    /// Mean Dice of A and B.
    pub dice: [f64; 2],
    /// Frames where presence is wrong, of A and B.
    pub presence_wrong: [usize; 2],
}

impl Record {
    /// Of the change from `bundles[0]` to `bundles[1]`, whose evaluations are in `comparison`; `shadow` is a file.
    ///
    /// # Errors
    /// When the report is none of these two models.
    pub fn new(
        comparison: &Comparison,
        bundles: &[Bundle; 2],
        protocol: Protocol,
        shadow: Option<&Path>,
    ) -> Result<Self> {
        ensure!(
            bundles[0].digest != bundles[1].digest,
            "{} and {} are the same bundle, so nothing changed",
            bundles[0].path.display(),
            bundles[1].path.display()
        );
        let shadow = shadow.map(|path| report(path, bundles)).transpose()?;
        let figures = comparison.changes.iter().map(|change| Figure {
            name: change.measure.name,
            means: change.means,
            interval: change.interval,
        });
        let patients = comparison.patients.iter().map(|p| Patient {
            patient: p.patient,
            frames: p.frames,
            dice: p.dice,
            presence_wrong: p.wrong,
        });
        Ok(Self {
            schema: SCHEMA,
            made_by: format!("nervelight-train {}", env!("NERVELIGHT_REVISION")),
            modifications: modifications(bundles),
            protocol,
            impact: Impact {
                evaluations: [&comparison.a, &comparison.b].map(|e| e.about.title.clone()),
                frames: comparison.a.frames.len(),
                warnings: super::output::warnings(comparison),
                figures: figures.collect(),
                patients: patients.collect(),
                presence_changed: comparison.flips().iter().map(|[a, _]| a.frame.clone()).collect(),
                fell: comparison.fallen().len(),
                shadow,
            },
        })
    }

    /// Writes `FILE.html`, and `FILE.json` beside it.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn write(&self, path: &Path, comparison: &Comparison) -> Result<()> {
        let json = path.with_extension("json");
        let text = serde_json::to_string_pretty(self)?;
        for (path, text) in [(path, page::html(self, comparison)), (&json, text)] {
            std::fs::write(path, text).with_context(|| format!("{}: write", path.display()))?;
        }
        outln!("\nrecord of the change in {} and {}", path.display(), json.display());
        Ok(())
    }
}

/// The shadow report in a file, if it is of these models.
fn report(path: &Path, bundles: &[Bundle; 2]) -> Result<Value> {
    let read = || format!("{}: cannot be read as a shadow report", path.display());
    let size = std::fs::metadata(path).with_context(read)?.len();
    ensure!(size <= LARGEST_REPORT, "{}: is too large for a shadow report", path.display());
    let report: Value =
        serde_json::from_slice(&std::fs::read(path).with_context(read)?).with_context(read)?;
    let text = report.to_string();
    for bundle in bundles {
        if !text.contains(&bundle.digest) {
            bail!(
                "{}: is no report of {}, whose digest {} it does not name",
                path.display(),
                bundle.model(),
                bundle.digest
            );
        }
    }
    Ok(report)
}

/// Facts of both bundles, in order.
fn modifications(bundles: &[Bundle; 2]) -> Vec<Modification> {
    let mut rows = vec![];
    let mut row = |part, what: &str, of: &dyn Fn(&Bundle) -> Option<String>| {
        let values = [of(&bundles[0]), of(&bundles[1])];
        if values != [None, None] {
            rows.push(Modification { part, what: what.into(), values });
        }
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    row("data", "training data, SHA-256", &|b| text(&b.manifest.provenance.data_digest));
    row("data", "corrections, SHA-256", &|b| b.manifest.provenance.corrections_digest.clone());
    row("data", "split, SHA-256", &|b| text(&b.manifest.provenance.split_digest));
    row("settings", "network", &|b| text(&b.manifest.provenance.network));
    row("settings", "seed", &|b| Some(b.manifest.provenance.seed.to_string()));
    row("settings", "threshold", &|b| Some(b.manifest.threshold.to_string()));
    row("settings", "least area in pixels", &|b| Some(b.manifest.min_area.to_string()));
    row("settings", "command of the export", &|b| text(&b.manifest.provenance.command));
    row("code", "revision", &|b| text(&b.manifest.provenance.revision));
    row("bundle", "name and version", &|b| Some(b.model()));
    row("bundle", "serial", &|b| b.manifest.serial.map(|serial| serial.to_string()));
    row("bundle", "digest, before this record is added", &|b| Some(b.digest.clone()));
    let models = |manifest: &Manifest| -> BTreeSet<String> {
        manifest.files.keys().filter(|name| name.ends_with(".onnx")).cloned().collect()
    };
    let names: BTreeSet<String> = bundles.iter().flat_map(|bundle| models(&bundle.manifest)).collect();
    for name in &names {
        row("bundle", &format!("{name}, SHA-256"), &|b| b.manifest.files.get(name).map(|f| f.sha256.clone()));
    }
    let names: BTreeSet<&String> =
        bundles.iter().flat_map(|b| b.manifest.provenance.metrics.keys()).collect();
    for name in names {
        let what = format!("{name} at its own export");
        row("bundle", &what, &|b| b.manifest.provenance.metrics.get(name).map(|v| format!("{v:.4}")));
    }
    rows
}

#[cfg(test)]
mod tests {
    use nervelight_engines::bundle::{Draft, Provenance};

    use super::super::comparison::tests::comparison;
    use super::*;

    fn bundle(folder: &Path, name: &str, seed: u64) -> Bundle {
        let mut draft = Draft::new(Manifest {
            provenance: Provenance { seed, data_digest: "d1".into(), ..Provenance::default() },
            ..Manifest::new(name, "1.0.0")
        });
        draft.file("fp32.onnx", vec![seed as u8]);
        draft.write(&folder.join(name)).unwrap()
    }

    #[test]
    fn a_record_says_what_changed_how_it_is_judged_and_what_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = [bundle(folder.path(), "old", 1), bundle(folder.path(), "new", 2)];
        let shadow = folder.path().join("shadow.json");
        let both =
            serde_json::json!({ "active": bundles[0].digest, "shadow": bundles[1].digest, "frames": 9 });
        std::fs::write(&shadow, both.to_string()).unwrap();
        let comparison = comparison();
        let protocol = Protocol::new(None, Some(0.02)).unwrap();
        let record = Record::new(&comparison, &bundles, protocol, Some(&shadow)).unwrap();
        let changed: Vec<_> =
            record.modifications.iter().filter(|m| m.is_change()).map(|m| m.what.as_str()).collect();
        let expected =
            ["seed", "name and version", "digest, before this record is added", "fp32.onnx, SHA-256"];
        assert_eq!(changed, expected);
        let path = folder.path().join("record.html");
        record.write(&path, &comparison).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        for words in
            ["Description of modifications", "Modification protocol", "Impact assessment", "0.98", "-0.02"]
        {
            assert!(page.contains(words), "{words}");
        }
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"));
        let json: Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!((&json["impact"]["shadow"]["frames"], &json["impact"]["frames"]), (&9.into(), &4.into()));
        assert_eq!(json["protocol"]["bounds"]["min_dice"], 0.7);
    }

    #[test]
    fn a_report_of_other_models_and_a_bundle_compared_with_itself_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = [bundle(folder.path(), "old", 1), bundle(folder.path(), "new", 2)];
        let shadow = folder.path().join("shadow.json");
        let says = |bundles: &[Bundle; 2]| {
            let protocol = Protocol::new(None, None).unwrap();
            Record::new(&comparison(), bundles, protocol, Some(&shadow)).unwrap_err().to_string()
        };
        assert!(says(&bundles).contains("cannot be read"));
        std::fs::write(&shadow, format!("{{\"active\": \"{}\"}}", bundles[0].digest)).unwrap();
        assert!(says(&bundles).contains("is no report of new 1.0.0"));
        let [old, _] = bundles;
        let again = Bundle::open(&old.path).unwrap();
        assert!(says(&[old, again]).contains("same bundle"));
    }
}

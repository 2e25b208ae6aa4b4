//! The change record: why one model takes the place of another, in the three parts that regulators ask of a predetermined
//! change control plan. What is changed, by what protocol a change is let through, and what it does.

mod modifications;
mod page;

use anyhow::{Context, Result};
use nervelight_engines::probation::Bounds;
use serde::Serialize;
use serde_json::Value;

pub use modifications::Modification;
pub use page::html;

use super::comparison::Comparison;
use crate::metrics::flip;

/// Layout of the record.
const SCHEMA: u32 = 1;

/// The whole, as it is written in JSON.
#[derive(Debug, Serialize)]
pub struct Record {
    schema: u32,
    /// Revision of the program that wrote it.
    revision: &'static str,
    /// Both evaluations.
    models: [Evaluated; 2],
    /// What is another in B than in A.
    modifications: Vec<Modification>,
    protocol: Protocol,
    impact: Impact,
}

/// One of the evaluations.
#[derive(Debug, Serialize)]
struct Evaluated {
    name: &'static str,
    title: String,
    folder: String,
    warnings: Vec<String>,
}

/// What lets a change through.
#[derive(Debug, Serialize)]
pub struct Protocol {
    /// The gates of a cart, in their order.
    gates: Vec<Gate>,
    /// Bounds as the cart's configuration sets them, or the defaults.
    cart: toml::Table,
    /// No configuration was given.
    is_default: bool,
    /// Least difference of Dice that had to be ruled out.
    fail_below: Option<f64>,
    /// Whether it was.
    passed: Option<bool>,
}

/// A gate of the cart.
#[derive(Debug, Serialize)]
struct Gate {
    name: &'static str,
    passes: String,
}

/// What the change does.
#[derive(Debug, Serialize)]
struct Impact {
    frames: usize,
    patients: usize,
    figures: Vec<Figure>,
    by_patient: Vec<ByPatient>,
    /// Frames where only one of both shows a nerve.
    presence_changed: Vec<ByFrame>,
    /// Frames whose Dice fell, most first.
    dice_fell: Vec<ByFrame>,
    /// What the cart found while the new model ran beside the old one, never shown.
    shadow: Option<Value>,
}

/// A figure of both, with the interval of their difference.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    about: &'static str,
    a: f64,
    b: f64,
    difference: f64,
    interval_95: Option<[f64; 2]>,
    share_of_draws_above_0: Option<f64>,
    #[serde(skip)]
    cells: [String; 5],
}

#[derive(Debug, Serialize)]
struct ByPatient {
    patient: u32,
    frames: usize,
    dice: [f64; 2],
    presence_wrong: [usize; 2],
    worse: bool,
}

#[derive(Debug, Serialize)]
struct ByFrame {
    frame: String,
    patient: u32,
    dice: [f64; 2],
    #[serde(skip_serializing_if = "str::is_empty")]
    what: &'static str,
}

impl Record {
    /// Of a comparison, what let it through, and the shadow report where there is one.
    pub fn of(comparison: &Comparison, protocol: Protocol, shadow: Option<Value>) -> Result<Self> {
        let evaluations = [("A", &comparison.a), ("B", &comparison.b)];
        let figure = |change: &crate::metrics::Change| Figure {
            name: change.measure.name,
            about: change.measure.about,
            a: change.means[0],
            b: change.means[1],
            difference: change.difference(),
            interval_95: change.interval,
            share_of_draws_above_0: change.above,
            cells: super::output::cells(change),
        };
        let frame = |[a, b]: [&crate::metrics::FrameMetrics; 2], what| ByFrame {
            frame: a.frame.clone(),
            patient: a.patient,
            dice: [a.outcome.dice(), b.outcome.dice()],
            what,
        };
        let patient = |p: &super::comparison::PatientChange| ByPatient {
            patient: p.patient,
            frames: p.frames,
            dice: p.dice,
            presence_wrong: p.wrong,
            worse: p.is_worse(),
        };
        let patients: std::collections::BTreeSet<u32> =
            comparison.a.frames.values().map(|frame| frame.patient).collect();
        Ok(Self {
            schema: SCHEMA,
            revision: env!("NERVELIGHT_REVISION"),
            models: evaluations.map(|(name, e)| Evaluated {
                name,
                title: e.about.title.clone(),
                folder: e.folder.display().to_string(),
                warnings: e.about.warnings.clone(),
            }),
            modifications: modifications::between(&comparison.a, &comparison.b)?,
            protocol,
            impact: Impact {
                frames: comparison.a.frames.len(),
                patients: patients.len(),
                figures: comparison.changes.iter().map(figure).collect(),
                by_patient: comparison.patients.iter().map(patient).collect(),
                presence_changed: comparison
                    .flips()
                    .into_iter()
                    .map(|pair| frame(pair, flip(pair)))
                    .collect(),
                dice_fell: comparison.fallen().into_iter().map(|pair| frame(pair, "")).collect(),
                shadow,
            },
        })
    }
}

impl Protocol {
    /// The gates of this version's carts, with the bounds of a cart's configuration where its text is given, and what the
    /// comparison itself had to rule out.
    pub fn new(cart: Option<&str>, fail_below: Option<f64>, passed: Option<bool>) -> Result<Self> {
        let min_dice = nervelight_engines::golden::min_dice;
        let [fp32, int8] =
            [nervelight_engines::Precision::Fp32, nervelight_engines::Precision::Int8].map(min_dice);
        let gate = |name, passes: &str| Gate { name, passes: passes.into() };
        let gates = vec![
            gate(
                "signature",
                "minisign's, of the manifest, by a key that the cart trusts; checked before anything is unpacked",
            ),
            gate("contents", "SHA-256 and size of every file as in the manifest; no other file, no link"),
            gate("contract", "the manifest's schema and the model's frame size are this version's"),
            gate("serial", "no lower than that of any model that the cart has kept"),
            gate("engine", "the cart builds an engine of the model on its own hardware"),
            Gate {
                name: "golden frames",
                passes: format!(
                    "on every golden frame the cart's own engine shows what the trainer's reference shows: Dice of at \
                     least {fp32} (fp32, fp16) or {int8} (int8)"
                ),
            },
            gate("swap", "between two frames; the old model stays loaded"),
            gate(
                "probation",
                "for the time and frames below, the new model keeps within the bounds below beside the old one; \
                 otherwise the cart goes back by itself",
            ),
        ];
        let is_default = cart.is_none();
        Ok(Self { gates, cart: bounds(cart)?, is_default, fail_below, passed })
    }
}

/// The bounds of the probation in a cart's configuration, or the defaults; and whose models it takes, without places.
fn bounds(text: Option<&str>) -> Result<toml::Table> {
    let mut whole: toml::Table = text.unwrap_or_default().parse().context("--cart: it is no TOML")?;
    let deploy = whole.remove("deploy").map_or_else(|| Ok(Bounds::default()), toml::Value::try_into);
    let deploy = toml::Value::try_from(deploy.context("--cart: [deploy]")?)?;
    let mut found = toml::Table::from_iter([("deploy".to_owned(), deploy)]);
    let model = whole.get("model").and_then(toml::Value::as_table);
    for name in ["require_signature", "keys"] {
        if let Some(value) = model.and_then(|model| model.get(name)) {
            found.insert(format!("model.{name}"), value.clone());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::comparison;
    use super::*;

    #[test]
    fn a_record_has_three_parts_and_needs_nothing_else() {
        let cart = "[deploy]\nprobation_s = 600\nmin_dice = 0.7\n[model]\nbundle = \"/secret/place\"\n\
                    require_signature = true\n";
        let protocol = Protocol::new(Some(cart), Some(0.02), Some(true)).unwrap();
        let mut comparison = comparison();
        comparison.a.about.facts =
            vec![("trained on data".into(), "aa".into()), ("network".into(), "n".into())];
        comparison.b.about.facts =
            vec![("trained on data".into(), "bb".into()), ("network".into(), "n".into())];
        let shadow = serde_json::json!({"frames": 1000, "dice": 0.97, "note": "<script>"});
        let record = Record::of(&comparison, protocol, Some(shadow)).unwrap();
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["modifications"][0]["what"], "trained on data", "{json:#}");
        assert_eq!(json["modifications"].as_array().unwrap().len(), 2, "data and title: {json:#}");
        assert_eq!(json["protocol"]["cart"]["deploy"]["min_dice"], 0.7);
        assert_eq!(json["impact"]["by_patient"][0]["patient"], 1);
        assert_eq!(json["impact"]["shadow"]["frames"], 1000);
        let page = html(&record);
        for part in ["1. Description of modifications", "2. Modification protocol", "3. Impact assessment"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(page.contains("0.97") && page.contains("<td>aa<td>bb") && page.contains("probation_s"));
        let is_whole = !page.contains("http") && !page.contains("<script") && !page.contains("/secret/place");
        assert!(is_whole && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn bounds_are_the_carts_or_the_defaults() {
        let min_dice = |text| {
            Protocol::new(text, None, None).map(|protocol| protocol.cart["deploy"]["min_dice"].clone())
        };
        assert_eq!(min_dice(None).unwrap().as_float(), Some(0.7));
        assert_eq!(min_dice(Some("[deploy]\nmin_dice = 0.9\n")).unwrap().as_float(), Some(0.9));
        for wrong in ["=", "[deploy]\nmin_dise = 0.9\n"] {
            assert!(format!("{:#}", min_dice(Some(wrong)).unwrap_err()).contains("--cart"));
        }
    }
}

//! By which gates and bounds a change is judged: the comparison's, and those that a cart applies.

use std::path::Path;

use anyhow::{Context, Result};
use nervelight_engines::probation::Bounds;
use nervelight_engines::{HEIGHT, Precision, WIDTH, golden};
use serde::Serialize;

/// The whole protocol.
#[derive(Debug, Serialize)]
pub struct Protocol {
    /// Most that B's Dice may lose against A's, if `--fail-below` asked for that.
    pub fail_below: Option<f64>,
    /// Least Dice of golden frames on the cart's own engine, by precision.
    pub golden: Vec<(String, f64)>,
    /// Bounds of the probation.
    pub bounds: Bounds,
    /// Where they come from.
    pub bounds_from: String,
}

impl Protocol {
    /// With the bounds in the section `[deploy]` of the configuration `cart`; the defaults where none is named.
    ///
    /// # Errors
    /// When it cannot be read, or its section has a mistake.
    pub fn new(cart: Option<&Path>, fail_below: Option<f64>) -> Result<Self> {
        let bounds = cart.map_or_else(|| Ok(Bounds::default()), bounds)?;
        let golden =
            Precision::ALL.map(|precision| (precision.to_string(), golden::min_dice(precision))).to_vec();
        let bounds_from = match cart {
            Some(path) => format!("[deploy] in {}", path.file_name().unwrap_or_default().to_string_lossy()),
            None => "the daemon's defaults".into(),
        };
        Ok(Self { fail_below, golden, bounds, bounds_from })
    }

    /// Gate and bound, in the order in which they are applied.
    pub fn gates(&self) -> Vec<(&'static str, String)> {
        let Bounds {
            probation_s,
            probation_frames,
            max_latency_factor,
            max_off_share,
            min_dice,
            max_flips,
            max_area_factor,
        } = self.bounds;
        let mut gates = vec![];
        if let Some(limit) = self.fail_below {
            let text = format!("the 95% interval of the difference in Dice must not reach below -{limit}");
            gates.push(("comparison at the workstation", text));
        }
        let golden: Vec<_> =
            self.golden.iter().map(|(precision, dice)| format!("{precision} {dice}")).collect();
        gates.extend([
            ("signature", "by one of the keys that the cart knows, before anything is unpacked".to_owned()),
            ("contents", format!("SHA-256 of every file; crop and map of {WIDTH} x {HEIGHT} pixels")),
            ("serial", "not below the newest model that this cart has kept".into()),
            (
                "golden frames on the cart's own engine",
                format!("Dice at least: {}; no map of one value", golden.join(", ")),
            ),
            (
                "probation",
                format!("{probation_s} s and {probation_frames} frames of the scanner, whichever takes longer"),
            ),
            ("engine in probation", "no errors, no constant maps where the old model's vary".into()),
            (
                "time of the engine in probation",
                format!("99th percentile at most {max_latency_factor} times the old model's"),
            ),
            (
                "AI OFF and AI STALE in probation",
                format!("share at most {max_off_share} above the old model's"),
            ),
            (
                "agreement with the old model in probation",
                format!(
                    "mean Dice at least {min_dice}; presence differs on a share of at most {max_flips}; areas by a \
                     factor of at most {max_area_factor}"
                ),
            ),
        ]);
        gates
    }
}

/// The section `[deploy]` of a cart's configuration.
fn bounds(path: &Path) -> Result<Bounds> {
    let wrong = || format!("{}: cannot be read as a cart's configuration", path.display());
    let text = std::fs::read_to_string(path).with_context(wrong)?;
    let mut table: toml::Table = text.parse().with_context(wrong)?;
    let deploy = table.remove("deploy").unwrap_or_else(|| toml::Table::new().into());
    deploy.try_into().with_context(|| format!("{}: [deploy]", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_carts_or_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cart.toml");
        std::fs::write(&path, "[source]\nkind = \"phantom\"\n[deploy]\nmin_dice = 0.9\n").unwrap();
        let protocol = Protocol::new(Some(&path), None).unwrap();
        assert_eq!((protocol.bounds.min_dice, protocol.bounds.max_flips), (0.9, 0.2));
        assert_eq!(protocol.bounds_from, "[deploy] in cart.toml");
        assert!(protocol.gates().iter().all(|(gate, _)| !gate.contains("workstation")));
        std::fs::write(&path, "[deploy]\nmin_dise = 0.9\n").unwrap();
        assert!(format!("{:#}", Protocol::new(Some(&path), None).unwrap_err()).contains("min_dise"));
    }
}

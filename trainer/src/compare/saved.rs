//! An evaluation, read from the files of `evaluate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metrics::FrameMetrics;
use crate::metrics::Outcome;

/// One evaluation.
#[derive(Debug)]
pub struct SavedEvaluation {
    pub folder: PathBuf,
    pub about: About,
    /// By name.
    pub frames: BTreeMap<String, FrameMetrics>,
}

/// Of `summary.json`, what a comparison needs.
#[derive(Debug, Default, Deserialize)]
pub struct About {
    pub title: String,
    pub warnings: Vec<String>,
    /// Digest of the data evaluated on.
    pub data: String,
    /// Of the surface Dice, in pixels.
    pub tolerance: f64,
    /// Where everything comes from: name and value. Evaluations of earlier versions have none.
    #[serde(default)]
    pub facts: Vec<(String, String)>,
    /// The operating points used.
    #[serde(default)]
    pub points: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl SavedEvaluation {
    /// Reads the folder, or the folder `evaluation` of a run.
    pub fn open(path: &Path) -> Result<Self> {
        let inside = path.join("evaluation");
        let is_run = !path.join("frames.csv").exists() && inside.join("frames.csv").exists();
        let folder = if is_run { inside } else { path.to_owned() };
        let read = |name: &str| {
            let path = folder.join(name);
            let hint =
                || format!("{}: is no evaluation; make one with `nervelight-train evaluate`", path.display());
            std::fs::read_to_string(&path).with_context(hint)
        };
        let (frames, about) = (read("frames.csv")?, read("summary.json")?);
        let about = serde_json::from_str(&about).with_context(|| {
            format!("{}: summary.json is of another version; evaluate again", folder.display())
        })?;
        let frames = parse(&frames).with_context(|| format!("{}: frames.csv", folder.display()))?;
        Ok(Self { folder, about, frames })
    }
}

/// Frames by name from the lines of `frames.csv`.
fn parse(text: &str) -> Result<BTreeMap<String, FrameMetrics>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers()?.clone();
    let column = |name: &str| {
        let place = names.iter().position(|n| n == name);
        place.with_context(|| format!("has no column `{name}`; evaluate again"))
    };
    let frame = column("frame")?;
    let [patient, truth, shown] = [column("patient")?, column("truth_pixels")?, column("shown_pixels")?];
    let [both, hd95, surface] = [column("both_pixels")?, column("hd95")?, column("surface_dice")?];
    // Evaluations of earlier versions have none.
    let invented = column("invented").ok();
    let mut frames = BTreeMap::new();
    for (number, cells) in (2..).zip(reader.records()) {
        let wrong = || format!("line {number} is cut short or damaged");
        let cells = cells.with_context(wrong)?;
        let cell = |at: usize| cells.get(at).with_context(wrong);
        let whole = |at: usize| cell(at)?.parse::<u32>().with_context(wrong);
        let real = |at: usize| match cell(at)? {
            "" => Ok(None),
            text => text.parse::<f64>().map(Some).with_context(wrong),
        };
        let outcome = Outcome { truth: whole(truth)?, shown: whole(shown)?, both: whole(both)? };
        let name = cell(frame)?.to_owned();
        let scored = FrameMetrics {
            frame: name.clone(),
            patient: whole(patient)?,
            outcome,
            hd95: real(hd95)?,
            surface_dice: real(surface)?,
            invented: invented.map(whole).transpose()?,
        };
        if frames.insert(name, scored).is_some() {
            bail!("line {number}: its frame is there twice");
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "frame,patient,truth_pixels,shown_pixels,both_pixels,dice,iou,hd95,surface_dice,more\n";

    #[test]
    fn frames_are_read_by_the_names_of_columns() {
        let frames = parse(&format!("{HEAD}1_2,1,8,6,5,0.7,0.5,2.5,0.75,x\n2_1,2,0,0,0,1,1,,,x\n")).unwrap();
        let first = &frames["1_2"];
        assert_eq!(first.outcome, Outcome { truth: 8, shown: 6, both: 5 });
        assert_eq!((first.hd95, first.surface_dice, first.patient), (Some(2.5), Some(0.75), 1));
        assert_eq!(frames["2_1"].hd95, None);
    }

    #[test]
    fn damage_is_named() {
        let says = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(says("frame,patient\n1_1,1\n").contains("no column `truth_pixels`"));
        assert!(says(&format!("{HEAD}1_2,1,8\n")).contains("line 2 is cut short"));
        let line = "1_2,1,8,6,5,0.7,0.5,2.5,0.75,x\n";
        assert!(says(&format!("{HEAD}{line}{line}")).contains("line 3: its frame is there twice"));
        let missing = SavedEvaluation::open(Path::new("/nonexistent")).unwrap_err();
        assert!(format!("{missing:#}").contains("nervelight-train evaluate"));
    }
}

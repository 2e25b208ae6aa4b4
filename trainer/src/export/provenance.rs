//! Provenance of a bundle: the command that made it, and its figures.

use std::collections::BTreeMap;
use std::path::Path;

use crate::metrics::{SoftMetrics, Thresholded};

/// Figures by name; one that no frame has a value for is left out.
pub fn metrics(thresholded: &Thresholded, soft: &SoftMetrics) -> BTreeMap<String, f64> {
    let thresholded = [
        ("dice", thresholded.dice),
        ("iou", thresholded.iou),
        ("presence", thresholded.presence),
        ("sensitivity", thresholded.sensitivity),
        ("specificity", thresholded.specificity),
        ("frames", Some(thresholded.frames as f64)),
        ("nerve_frames", Some(thresholded.nerve_frames as f64)),
    ];
    let soft = SoftMetrics::NAMES.into_iter().zip(soft.values());
    let soft = soft.map(|(name, value)| (format!("soft_{name}"), value));
    let thresholded = thresholded.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    thresholded.chain(soft).collect()
}

/// The command line, without the folder of the program.
pub fn command_line() -> String {
    let mut arguments: Vec<String> = std::env::args().collect();
    if let Some(program) = arguments.first_mut() {
        *program = stem(Path::new(program));
    }
    arguments.join(" ")
}

/// The name of a file without its extension.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Outcome;

    #[test]
    fn figures_that_no_frame_tells_are_left_out() {
        let thresholded = Thresholded::of(&[Outcome { truth: 4, shown: 4, both: 4 }]);
        let metrics = metrics(&thresholded, &SoftMetrics::default());
        assert_eq!(metrics.get("sensitivity"), Some(&1.0));
        assert!(!metrics.contains_key("specificity"));
    }
}

//! Figures by the size of the nerve: small nerves are the hard ones.

use serde::Serialize;

use super::frame_metrics::FrameMetrics;
use super::measure::{Estimate, MEASURES};

/// Bins of equally many frames.
const QUARTERS: usize = 4;

/// Frames whose nerves are of similar size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Size {
    /// Least and largest area in pixels.
    pub area: [u32; 2],
    pub dice: Estimate,
    pub iou: Estimate,
}

impl Size {
    /// Quarters of the frames with nerve, smallest first; fewer where there are fewer frames.
    pub fn quarters(frames: &[FrameMetrics]) -> Vec<Self> {
        let mut nerves: Vec<&FrameMetrics> = frames.iter().filter(|f| f.outcome.truth > 0).collect();
        nerves.sort_by_key(|f| f.outcome.truth);
        let end = |quarter: usize| quarter * nerves.len() / QUARTERS;
        let quarters = (0..QUARTERS).map(|quarter| &nerves[end(quarter)..end(quarter + 1)]);
        let size = |quarter: &[&FrameMetrics]| {
            let [dice, iou] = [0, 1].map(|i: usize| MEASURES[i].estimate(quarter.iter().copied()));
            Some(Self { area: [quarter.first()?.outcome.truth, quarter.last()?.outcome.truth], dice, iou })
        };
        quarters.filter_map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::tests::scored;
    use super::*;

    #[test]
    fn quarters_hold_every_frame_with_nerve_once() {
        // The larger, the better; one frame without nerve.
        let mut frames: Vec<FrameMetrics> =
            (1..=10).rev().map(|i| scored(i, 1, [i * 10, i * 10, i * i])).collect();
        frames.push(scored(11, 1, [0, 0, 0]));
        let sizes = Size::quarters(&frames);
        let areas: Vec<[u32; 2]> = sizes.iter().map(|s| s.area).collect();
        assert_eq!(areas, [[10, 20], [30, 50], [60, 70], [80, 100]]);
        assert_eq!(sizes.iter().map(|s| s.dice.frames).sum::<usize>(), 10);
        assert!((sizes[0].dice.mean.unwrap() - 0.15).abs() < 1e-12);
        assert!((sizes[3].dice.mean.unwrap() - 0.9).abs() < 1e-12);
    }

    #[test]
    fn few_frames_make_few_bins() {
        assert_eq!(Size::quarters(&[scored(1, 1, [5, 5, 5])]).len(), 1);
        assert!(Size::quarters(&[scored(1, 1, [0, 5, 0])]).is_empty());
        assert!(Size::quarters(&[]).is_empty());
    }
}

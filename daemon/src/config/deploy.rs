//! `[deploy]`: how long a new model is on probation, and what sends it back.

use std::time::Duration;

use nervelight_engines::probation::Bounds;

use crate::config::mistakes::Mistakes;

/// What a new model must keep to, beside the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probation {
    /// Least time at work.
    pub time: Duration,
    /// Least frames of the scanner that it has answered.
    pub frames: u64,
    /// Its engine's 99th percentile over the old one's, at most.
    pub latency_factor: f64,
    /// Share of frames without its mask over the old one's share, at most.
    pub off_share: f64,
    /// Mean Dice between both on sampled frames where either shows a nerve, at least.
    pub min_dice: f64,
    /// Share of sampled frames where only one of them shows a nerve, at most.
    pub flips: f64,
    /// Its area over the old one's, or the other way round, at most.
    pub area_factor: f64,
}

impl Probation {
    /// The section as used.
    pub fn resolve(raw: &Bounds, mistakes: &mut Mistakes) -> Self {
        let share = 0.0..=1.0;
        mistakes.check(
            (1..=604_800).contains(&raw.probation_s),
            "deploy.probation_s",
            "must be from 1 to 604800, a week",
        );
        mistakes.check(
            (1..=100_000_000).contains(&raw.probation_frames),
            "deploy.probation_frames",
            "must be from 1 to 100000000",
        );
        for (key, value) in [
            ("deploy.max_latency_factor", raw.max_latency_factor),
            ("deploy.max_area_factor", raw.max_area_factor),
        ] {
            mistakes.check((1.0..=1000.0).contains(&value), key, "must be from 1 to 1000");
        }
        for (key, value) in [
            ("deploy.max_off_share", raw.max_off_share),
            ("deploy.min_dice", raw.min_dice),
            ("deploy.max_flips", raw.max_flips),
        ] {
            mistakes.check(share.contains(&value), key, "must be from 0 to 1");
        }
        Self {
            time: Duration::from_secs(raw.probation_s),
            frames: raw.probation_frames,
            latency_factor: raw.max_latency_factor,
            off_share: raw.max_off_share,
            min_dice: raw.min_dice,
            flips: raw.max_flips,
            area_factor: raw.max_area_factor,
        }
    }
}

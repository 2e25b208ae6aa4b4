//! `[deploy]`: how long a new model is on probation, and what sends it back.

use std::time::Duration;

use serde::Deserialize;

use crate::config::mistakes::Mistakes;

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDeploy {
    pub probation_s: u64,
    pub probation_frames: u64,
    pub max_latency_factor: f64,
    pub max_off_share: f64,
    pub min_dice: f64,
    pub max_flips: f64,
    pub max_area_factor: f64,
}

impl Default for RawDeploy {
    fn default() -> Self {
        Self {
            probation_s: 600,
            probation_frames: 10_000,
            max_latency_factor: 2.0,
            max_off_share: 0.05,
            min_dice: 0.7,
            max_flips: 0.2,
            max_area_factor: 2.0,
        }
    }
}

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

impl RawDeploy {
    /// The section as used.
    pub fn resolve(&self, mistakes: &mut Mistakes) -> Probation {
        let share = 0.0..=1.0;
        mistakes.check(
            (1..=604_800).contains(&self.probation_s),
            "deploy.probation_s",
            "must be from 1 to 604800, a week",
        );
        mistakes.check(
            (1..=100_000_000).contains(&self.probation_frames),
            "deploy.probation_frames",
            "must be from 1 to 100000000",
        );
        for (key, value) in [
            ("deploy.max_latency_factor", self.max_latency_factor),
            ("deploy.max_area_factor", self.max_area_factor),
        ] {
            mistakes.check((1.0..=1000.0).contains(&value), key, "must be from 1 to 1000");
        }
        for (key, value) in [
            ("deploy.max_off_share", self.max_off_share),
            ("deploy.min_dice", self.min_dice),
            ("deploy.max_flips", self.max_flips),
        ] {
            mistakes.check(share.contains(&value), key, "must be from 0 to 1");
        }
        Probation {
            time: Duration::from_secs(self.probation_s),
            frames: self.probation_frames,
            latency_factor: self.max_latency_factor,
            off_share: self.max_off_share,
            min_dice: self.min_dice,
            flips: self.max_flips,
            area_factor: self.max_area_factor,
        }
    }
}

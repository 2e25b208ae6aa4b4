//! What a new model has to keep to on a cart, beside the one before it, until it is kept.

use serde::{Deserialize, Serialize};

/// `[deploy]` of a cart's configuration: how long a new model is on probation, and what sends it back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Least time at work, in seconds.
    pub probation_s: u64,
    /// Least frames of the scanner that it has answered.
    pub probation_frames: u64,
    /// 99th percentile of its engine's time over the old model's, at most.
    pub max_latency_factor: f64,
    /// Its share of frames without a mask of its own over the old model's, at most.
    pub max_off_share: f64,
    /// Mean Dice between both on frames that both compute, where either shows a nerve, at least.
    pub min_dice: f64,
    /// Share of these frames where only one of them shows a nerve, at most.
    pub max_flips: f64,
    /// Its masks' area over the old one's, or the other way round, at most.
    pub max_area_factor: f64,
}

impl Default for Bounds {
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

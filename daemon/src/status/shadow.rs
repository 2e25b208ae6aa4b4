//! How a model that is not shown agrees with the one that is.

use serde::Serialize;

use crate::status::Quantiles;
use crate::status::deployment::ModelFigures;

/// The report of a model that ran on spare time. It holds counts and times, and no picture: pictures are of patients.
#[derive(Debug, Clone, Serialize)]
pub struct ShadowReport {
    /// The layout of this report.
    pub schema: u32,
    /// The model that is shown.
    pub shown: ModelFigures,
    /// The model that is not.
    pub shadow: ModelFigures,
    /// When it began, in UTC.
    pub since: String,
    /// When this was written, in UTC.
    pub until: String,
    /// It runs still.
    pub is_running: bool,
    /// What keeps it from running, or from being compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Crops that it failed on.
    pub errors: u64,
    /// How both agree.
    #[serde(flatten)]
    pub agreement: AgreementFigures,
}

/// Agreement of the shown model with another one that is not shown.
#[derive(Debug, Clone, Serialize)]
pub struct AgreementFigures {
    /// Frames that both have computed.
    pub frames: u64,
    /// Those where either shows a nerve.
    pub frames_with_nerve: u64,
    /// Dice over these; none without any.
    pub dice: Option<DiceFigures>,
    /// Frames where only the shown model shows a nerve.
    pub only_shown: u64,
    /// Frames where only the other does.
    pub only_shadow: u64,
    /// Frames where the shown model's map has one value throughout, and the other's varies.
    pub shown_flat: u64,
    /// The other way round.
    pub shadow_flat: u64,
    /// Mean area in pixels of the shown model's masks, over the frames with a nerve.
    pub area_shown: f64,
    /// The same of the other.
    pub area_shadow: f64,
    /// Mean of the other's area less the shown model's.
    pub area_bias: f64,
    /// Standard deviation of that.
    pub area_scatter: f64,
    /// Time of the shown model's engine for these frames.
    pub shown_ms: Quantiles,
    /// The same of the other, which has only spare time.
    pub shadow_ms: Quantiles,
}

/// A distribution of Dice.
#[derive(Debug, Clone, Serialize)]
pub struct DiceFigures {
    /// Mean.
    pub mean: f64,
    /// 5th percentile.
    pub p5: f64,
    /// 25th percentile.
    pub p25: f64,
    /// Median.
    pub p50: f64,
    /// 75th percentile.
    pub p75: f64,
    /// Frames in each twentieth from 0 to 1.
    pub histogram: Vec<u64>,
}

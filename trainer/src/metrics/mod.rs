//! Figures of predicted maps: soft, at an operating point, of contours, of probabilities; intervals around them.
//!
//! Uses `net`, `data` and `util`.

pub mod bootstrap;
mod contour;
mod distance;
mod frame_metrics;
pub mod measure;
mod operating_point;
mod paired;
mod prediction;
mod reliability;
mod sizes;
mod soft;
mod summary;
mod thresholded;

pub use frame_metrics::{FrameMetrics, Ruler};
pub use measure::{MEASURES, Measure, percent};
pub use operating_point::{OperatingPoint, choose, outcomes, probability, shown};
pub use paired::{Change, change, flip};
pub use prediction::{Prediction, predict};
pub use reliability::Reliability;
pub use soft::{SoftMetrics, Sums, soft};
pub use summary::{Patient, Summary};
pub use thresholded::{Outcome, Thresholded};

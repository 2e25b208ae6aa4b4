//! Judging masks: figures of frames, their means with intervals, calibration.

pub mod bootstrap;
mod calibration;
mod contour;
mod distance;
mod measure;
mod scored;
mod sizes;
mod summary;

pub use calibration::Calibration;
pub use measure::{Estimate, MEASURES, Measure, percent};
pub use scored::{Ruler, Scored};
pub use sizes::Size;
pub use summary::{Figure, Patient, Summary};

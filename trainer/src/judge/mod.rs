//! Judging masks: figures of frames, their means with intervals, calibration.

pub mod bootstrap;
mod calibration;
mod contour;
mod distance;
pub mod measure;
mod scored;
mod sizes;
mod summary;

pub use calibration::Calibration;
pub use measure::{MEASURES, Measure, percent};
pub use scored::{Ruler, Scored};
pub use summary::{Patient, Summary};

//! Figures of predicted maps: soft, at an operating point, of contours, with intervals, of probabilities.
//!
//! Uses `net`, `weights`, `data` and `util`.

pub mod bootstrap;
mod contour;
mod distance;
pub mod measure;
mod operating_point;
mod paired;
mod prediction;
mod reliability;
mod scored;
mod sizes;
mod soft;
mod summary;
mod thresholded;

pub use measure::{MEASURES, Measure, percent};
pub use operating_point::{Point, choose, outcomes, probability, shown};
pub use paired::{Change, change, flip};
pub use prediction::{Prediction, predict};
pub use reliability::Calibration;
pub use scored::{Ruler, Scored};
pub use soft::{Figures, Sums, soft};
pub use summary::{Patient, Summary};
pub use thresholded::{Hard, Outcome};

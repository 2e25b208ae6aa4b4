//! Reports as one HTML file: no script, no network, no other file.
//!
//! Uses `evaluate`, `train` (a run's curves), `metrics` and `util`.

mod bars;
mod charts;
mod curves;
mod head;
mod page;
mod picture;

pub use bars::{Bars, linear_marks};
pub use head::head;
pub use page::html;

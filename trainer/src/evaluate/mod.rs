//! A trained network or a bundle, evaluated frame by frame.
//!
//! Uses `train` (a run's directory and network), `metrics`, `data` and `util`.

mod bundle;
pub mod checked_engine;
mod engine;
mod evaluation;
mod files;
mod folds;
mod options;
mod reference;
mod single;
mod table;

pub use bundle::evaluate as evaluate_bundle;
pub use engine::predict;
pub use evaluation::{Case, Evaluation};
pub use files::write;
pub use folds::evaluate as evaluate_folds;
pub use options::{OpenedRun, Options};
#[cfg(test)]
pub use reference::Reference;
pub use single::evaluate as evaluate_run;
pub use table::print;

#[cfg(test)]
pub use evaluation::tests;

//! Training: settings, loss, optimiser, loop, the run's directory, and how a run is watched.
//!
//! Uses `metrics`, `weights`, `net`, `data` and `util`.

mod adam;
mod curves;
mod distillation;
mod ema;
mod history;
mod loss;
mod renamed;
mod resume;
mod run;
mod schedule;
mod settings;
mod state;
mod trained;
mod trainer;
pub mod watch;

pub use adam::Adam;
pub use history::{Validation, comparable};
pub use loss::{Loss, LossKind};
pub use run::{RunDir, Which};
pub use settings::Settings;
pub use trained::trained;
pub use trainer::{Outcome, train};

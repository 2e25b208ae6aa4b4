//! A trained network as a model bundle: graphs, precisions, golden frames, and the proof that they are right.
//!
//! Uses `evaluate` (engines), `metrics`, `weights`, `net`, `data` and `util`.

mod difference;
pub mod golden;
pub mod layers;
pub mod onnx;
#[cfg(all(test, feature = "tensorrt-rtx"))]
mod plans;
mod provenance;
pub mod quantize;
mod unfinished;
mod verify;

pub use provenance::{command_line, metrics, stem};
pub use unfinished::beside;
pub use verify::verify;

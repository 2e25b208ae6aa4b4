//! Model contract, model bundles and inference engines for nerve segmentation.
//!
//! A trained network reaches a cart as a [`Bundle`]; [`open`] turns it into an [`Engine`],
//! a function from the bytes of a cropped luma plane to the bytes of a probability map.
//!
//! Invariant: this crate knows nothing of GStreamer, HTTP servers or libtorch.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod bundle;
pub mod components;
pub mod contract;
pub mod digest;
pub mod engine;
pub mod golden;
mod library;
mod name;
pub mod onnx;
mod open;
pub mod openvino;
mod precision;
pub mod probation;
pub mod processor;
pub mod say;
pub mod settings;
pub mod steady;
pub mod store;
pub mod telemetry;
pub mod tensorrt;

pub use bundle::{Bundle, BundleError, Manifest};
pub use contract::{HEIGHT, PIXELS, Plane, WIDTH, plane};
pub use engine::{
    Backend, BuildMonitor, BuildProgress, Engine, EngineError, EngineInfo, EngineSettings, Precision,
    Provider,
};
pub use open::{build, open, open_proven};

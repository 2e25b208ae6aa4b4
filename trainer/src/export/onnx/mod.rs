//! The network as an ONNX file, written without any other tool.

mod deconv;
mod graph;
mod half;
mod int8;
mod scales;
#[cfg(test)]
mod tests;

pub use graph::{Outputs, model};
pub use half::{LARGEST, MARGIN, at_risk, half};
pub use int8::{Style, int8};

//! The network as an ONNX file, written without any other tool.

mod graph;
mod proto;

pub use graph::{Outputs, model};
pub use proto::ModelProto;

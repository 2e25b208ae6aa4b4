use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::backend::{Backend, Provider};
use crate::precision::Precision;

/// What a configuration says about the engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// What computes.
    pub backend: Backend,
    /// Which of the bundle's models to run.
    pub precision: Precision,
    /// Where ONNX Runtime runs it. A provider that is missing is an error, never a silent fallback.
    pub provider: Provider,
    /// CPU threads, 0 for one per core.
    pub threads: usize,
    /// `libonnxruntime.so`; when absent see [`crate::onnx::find_library`].
    pub library: Option<PathBuf>,
    /// Everything about OpenVINO.
    pub openvino: OpenvinoSettings,
    /// Everything about TensorRT.
    pub tensorrt: TensorrtSettings,
}

impl EngineSettings {
    /// Whether an NVIDIA GPU computes.
    pub fn is_on_nvidia_gpu(&self) -> bool {
        self.backend.is_tensorrt() || self.provider != Provider::Cpu
    }
}

/// What a configuration says about OpenVINO, all of it optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenvinoSettings {
    /// `libopenvino_c.so`, with OpenVINO's other libraries beside it; when absent see [`crate::openvino::find_library`].
    pub library: Option<PathBuf>,
}

/// What a configuration says about TensorRT, all of it optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensorrtSettings {
    /// The folder of `libnvinfer` or `libtensorrt_rtx`; the system's loader finds it if absent.
    pub library: Option<PathBuf>,
    /// The engine store; see [`crate::store::engines::Store::new`].
    pub store: Option<PathBuf>,
    /// MiB that a layer may use for itself while it runs, 0 for all there is.
    pub workspace_mib: u32,
    /// 0 builds fast, 5 tries most; TensorRT's own default is 3.
    pub optimization_level: u8,
    /// Which GPU.
    pub device: usize,
}

impl Default for TensorrtSettings {
    fn default() -> Self {
        Self { library: None, store: None, workspace_mib: 1024, optimization_level: 3, device: 0 }
    }
}

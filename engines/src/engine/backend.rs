use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{UnknownName, named};
use crate::precision::Precision;

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// On the CPU the fastest that is there and right: OpenVINO on x86, else ONNX Runtime.
    #[default]
    Auto,
    /// ONNX Runtime, on the CPU or through one of its providers.
    Onnx,
    /// OpenVINO, on the CPU.
    Openvino,
    /// TensorRT on an NVIDIA GPU, with engines built on this machine.
    Tensorrt,
    /// TensorRT for RTX on a PC's GPU, with engines built here or ahead, on a machine without one.
    #[serde(rename = "tensorrt-rtx")]
    TensorrtRtx,
}

impl Precision {
    /// The file of a bundle that `backend` opens.
    pub fn file(self, backend: Backend) -> &'static str {
        match backend {
            Backend::Auto | Backend::Onnx | Backend::Openvino => self.onnx_file(),
            Backend::Tensorrt | Backend::TensorrtRtx => self.tensorrt_file(),
        }
    }
}

impl Backend {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Onnx, Self::Openvino, Self::Tensorrt, Self::TensorrtRtx];

    /// Whether its engines are plans of TensorRT or of TensorRT for RTX, built before they run.
    pub fn is_tensorrt(self) -> bool {
        matches!(self, Self::Tensorrt | Self::TensorrtRtx)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Onnx => "onnx",
            Self::Openvino => "openvino",
            Self::Tensorrt => "tensorrt",
            Self::TensorrtRtx => "tensorrt-rtx",
        })
    }
}

impl FromStr for Backend {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named(&Self::ALL, name)
    }
}

/// Where ONNX Runtime executes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// ONNX Runtime's own provider for CPUs, always there.
    #[default]
    Cpu,
    /// An NVIDIA GPU through CUDA and cuDNN.
    Cuda,
    /// An NVIDIA GPU through TensorRT.
    Tensorrt,
}

impl Provider {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Tensorrt];

    /// What its maker calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::Tensorrt => "TensorRT",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
        })
    }
}

impl FromStr for Provider {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named(&Self::ALL, name)
    }
}

/// NVIDIA has two libraries of one interface, each with a layout of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Measures kernels on the GPU that will run them; for Jetsons and servers.
    Tensorrt,
    /// Chooses kernels without a GPU and finishes them where they run; for PCs.
    Rtx,
}

impl Product {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tensorrt, Self::Rtx];

    /// The library that `backend` asks for; TensorRT unless it says otherwise.
    pub fn of(backend: Backend) -> Self {
        if backend == Backend::TensorrtRtx { Self::Rtx } else { Self::Tensorrt }
    }

    /// What NVIDIA calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Tensorrt => "TensorRT",
            Self::Rtx => "TensorRT for RTX",
        }
    }

    /// What its headers come in.
    pub(super) fn headers(self) -> &'static str {
        match self {
            Self::Tensorrt => "libnvinfer-headers-dev and libnvonnxparsers-dev",
            Self::Rtx => "NVIDIA's archive of TensorRT for RTX",
        }
    }

    /// Whether this program was compiled with it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Tensorrt => cfg!(feature = "tensorrt"),
            Self::Rtx => cfg!(feature = "tensorrt-rtx"),
        }
    }
}

/// As in a configuration's `engine.backend`, in features and in keys of plans.
impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tensorrt => "tensorrt",
            Self::Rtx => "tensorrt-rtx",
        })
    }
}

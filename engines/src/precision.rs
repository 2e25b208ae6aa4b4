//! Precisions of model files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{UnknownName, named};

/// How the weights and activations of a model file are stored and computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE single precision, the reference.
    #[default]
    Fp32,
    /// IEEE half precision.
    Fp16,
    /// 8-bit integers.
    Int8,
}

impl Precision {
    /// The one that loses nothing first.
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Fp16, Self::Int8];

    /// The file of a bundle that holds the model in this precision for ONNX Runtime.
    pub fn onnx_file(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32.onnx",
            Self::Fp16 => "fp16.onnx",
            Self::Int8 => "int8-cpu.onnx",
        }
    }

    /// The same for TensorRT, which wants another style of quantisation.
    pub fn tensorrt_file(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32.onnx",
            Self::Fp16 => "fp16.onnx",
            Self::Int8 => "int8-trt.onnx",
        }
    }

    /// The precisions that lose less, nearest first.
    pub fn wider(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().rev().skip_while(move |&p| p != self).skip(1)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Precision {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        named(&Self::ALL, name)
    }
}

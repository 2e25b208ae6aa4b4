use std::path::PathBuf;

use super::backend::Provider;
use super::tensorrt_error::{self, TensorrtError};
use crate::bundle::BundleError;

/// Why an engine could not be opened or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No library of the runtime at any of the places searched.
    #[error("no {runtime} library found; looked at {}. {install}", .searched.join(", "))]
    LibraryNotFound {
        /// `ONNX Runtime` or `OpenVINO`.
        runtime: &'static str,
        /// Paths looked at, in order.
        searched: Vec<String>,
        /// What to do.
        install: &'static str,
    },
    /// The library is there and cannot be used.
    #[error("cannot load {runtime} from {path}: {reason}. Version {oldest} or later is needed")]
    Library {
        /// `ONNX Runtime` or `OpenVINO`.
        runtime: &'static str,
        /// The file that was opened.
        path: PathBuf,
        /// What the loader said.
        reason: String,
        /// The oldest version that will do.
        oldest: &'static str,
    },
    /// The runtime was not built with the provider, or the device is missing.
    #[error(
        "engine.provider = \"{provider}\" is not available in {runtime}: {reason}. Install a build of ONNX \
         Runtime that has it, or set engine.provider = \"cpu\""
    )]
    Provider {
        /// The provider asked for.
        provider: Provider,
        /// The runtime with its version.
        runtime: String,
        /// What the runtime said.
        reason: String,
    },
    /// The bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The runtime does not accept the model file.
    #[error("model {model} cannot be loaded: {reason}. Export the bundle again")]
    Model {
        /// The file in the bundle.
        model: String,
        /// What the runtime said.
        reason: String,
    },
    /// The model's inputs or outputs are not those of the contract.
    #[error(
        "model {model}: {what} is {found}, the contract asks for {expected}. Export the bundle again with \
         a matching nervelight-train"
    )]
    Contract {
        /// The file in the bundle.
        model: String,
        /// Input or output.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What it must have.
        expected: String,
    },
    /// The engine disagrees with the frames the trainer computed.
    #[error(
        "{engine} gives another result than the trainer did on golden frame {frame}: Dice {dice:.3}, at least \
         {limit:.2} is needed{}. The model is not used; try another precision or provider",
        if *.flat { "; its map is one value throughout, as NaN gives" } else { "" }
    )]
    Golden {
        /// The engine's runtime, provider and precision.
        engine: String,
        /// The golden frame's name.
        frame: String,
        /// Agreement found.
        dice: f64,
        /// Agreement needed.
        limit: f64,
        /// The engine's map is one value throughout and the expected one is not.
        flat: bool,
    },
    /// An engine that was rejected before, and would be again.
    #[error("{0} (found when it was built; `nervelightd build --force` tries again)")]
    Rejected(String),
    /// TensorRT or its device.
    #[error(transparent)]
    Tensorrt(#[from] TensorrtError),
    /// Nothing proves what the engine computes.
    #[error("{0} has no golden frames to prove the engine with. Export the bundle again")]
    NoGolden(PathBuf),
    /// The runtime failed on a frame.
    #[error("inference failed: {0}")]
    Infer(String),
}

impl EngineError {
    /// Whether this process can compute nothing on its GPU any more, and a new process may.
    pub fn is_device_lost(&self) -> bool {
        match self {
            Self::Tensorrt(error) => error.is_device_lost(),
            Self::Infer(said) | Self::Model { reason: said, .. } | Self::Provider { reason: said, .. } => {
                cuda_failures(said).any(tensorrt_error::is_sticky)
            }
            _ => false,
        }
    }
}

/// The results of CUDA in what ONNX Runtime says, which has no code of its own for them (`cuda_call.cc`). The runtime's
/// numbers are the driver's for all errors that stay.
fn cuda_failures(said: &str) -> impl Iterator<Item = u32> {
    said.split("CUDA failure ").skip(1).filter_map(|rest| rest.split(':').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_onnx_runtime_has_lost_is_lost() {
        // As said on an H200 after a kernel that faulted.
        let fault = "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=cart ; \
                     file=/onnxruntime_src/onnxruntime/core/providers/cuda/gpu_data_transfer.cc ; line=91 ; \
                     expr=cudaMemcpyAsync(dst_data, src_data, bytes, cudaMemcpyHostToDevice, stream); ";
        assert!(EngineError::Infer(fault.into()).is_device_lost());
        let opening =
            format!("cuda_call.cc:154 std::conditional_t<THRW, void, Status> CudaCall(...) {fault}");
        let opening = EngineError::Model { model: "fp32.onnx".into(), reason: opening };
        assert!(opening.is_device_lost());
        for other in [
            "CUDA failure 2: out of memory ; GPU=0 ; hostname=700: ",
            "CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0",
            "a node failed: 700: ",
            "",
        ] {
            assert!(!EngineError::Infer(other.into()).is_device_lost(), "{other}");
        }
    }
}

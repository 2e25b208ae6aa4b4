use std::path::PathBuf;

use super::backend::Provider;
use super::tensorrt_error::TensorrtError;
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
        matches!(self, Self::Tensorrt(error) if error.is_device_lost())
    }
}

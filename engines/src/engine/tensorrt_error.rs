use std::path::PathBuf;

use super::backend::Product;

/// Results of CUDA's driver after which every further call of the process fails: cuda.h says of them that the process
/// must be ended and started again. 710, a failed assertion, ends the context, which this process cannot replace.
const STICKY: [u32; 13] = [
    226, // CUDA_ERROR_CONTAINED
    700, // CUDA_ERROR_ILLEGAL_ADDRESS
    702, // CUDA_ERROR_LAUNCH_TIMEOUT
    710, // CUDA_ERROR_ASSERT
    714, // CUDA_ERROR_HARDWARE_STACK_ERROR
    715, // CUDA_ERROR_ILLEGAL_INSTRUCTION
    716, // CUDA_ERROR_MISALIGNED_ADDRESS
    717, // CUDA_ERROR_INVALID_ADDRESS_SPACE
    718, // CUDA_ERROR_INVALID_PC
    719, // CUDA_ERROR_LAUNCH_FAILED
    721, // CUDA_ERROR_TENSOR_MEMORY_LEAK
    810, // CUDA_ERROR_MPS_CLIENT_TERMINATED
    911, // CUDA_ERROR_EXTERNAL_DEVICE
];

/// What TensorRT says when a plan is not for this library or GPU, or damaged. Whatever else it says (no memory, a driver
/// that is too old) would come again with a new plan.
const PLAN_IS_WRONG: [&str; 6] = [
    "Serialization",
    "lease rebuild",
    "not compatible with this version of TensorRT",
    "on an incompatible device",
    "incompatible serialization version",
    "newer plan file",
];

/// Why there is no TensorRT engine, or why it did not answer.
#[derive(Debug, thiserror::Error)]
pub enum TensorrtError {
    /// The program was compiled without the backend.
    #[error(
        "engine.backend = \"{0}\": this nervelightd was built without {title}. Install {headers}, then build with \
         --features {0}; or set engine.backend = \"onnx\"",
        title = .0.title(),
        headers = .0.headers()
    )]
    NotBuilt(Product),
    /// No NVIDIA driver on this machine.
    #[error("no NVIDIA driver: libcuda.so.1 cannot be opened. TensorRT needs an NVIDIA GPU and its driver")]
    NoDriver,
    /// The driver is older than any that TensorRT 10.3 runs on.
    #[error(
        "the NVIDIA driver knows CUDA {found} only, TensorRT 10.3 needs 12.0. Update the driver or JetPack"
    )]
    OldDriver {
        /// Major and minor version.
        found: String,
    },
    /// The driver is there and sees no GPU, or not the one asked for.
    #[error("there is no GPU {asked}: the driver sees {found}. Check engine.tensorrt.device and nvidia-smi")]
    NoDevice {
        /// The ordinal asked for.
        asked: usize,
        /// GPUs that the driver sees.
        found: usize,
    },
    /// The driver refused a call.
    #[error("CUDA refused to {what}: {name} ({code}). See `dmesg`; a device that fell off needs a restart")]
    Cuda {
        /// What was asked of it.
        what: &'static str,
        /// Such as `CUDA_ERROR_OUT_OF_MEMORY`.
        name: String,
        /// The number of the same.
        code: u32,
    },
    /// No TensorRT library of the version the program was compiled for.
    #[error(
        "{name} cannot be opened: {reason}. Install {} {major}{}, or name the folder it lies in as \
         engine.tensorrt.library",
        .product.title(),
        match .product {
            Product::Tensorrt => " (JetPack: `apt-get install tensorrt-libs`)",
            Product::Rtx => "",
        }
    )]
    Library {
        /// Whose library.
        product: Product,
        /// The file looked for.
        name: String,
        /// Major version compiled for.
        major: i32,
        /// What the loader said, by place.
        reason: String,
    },
    /// The library lacks an entry point.
    #[error("{path} has no {symbol}: it is no TensorRT library. Install TensorRT again")]
    Symbol {
        /// The library.
        path: PathBuf,
        /// The entry point.
        symbol: &'static str,
    },
    /// The library's version is not one this program can call.
    #[error(
        "{path} is {} {found}, this program was compiled for {compiled}. Build it on this machine again",
        .product.title()
    )]
    Version {
        /// Whose library.
        product: Product,
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The headers' version.
        compiled: String,
    },
    /// No GPU of such a kind is known to TensorRT for RTX.
    #[error(
        "TensorRT for RTX builds nothing for compute capability {asked}. It knows 7.5, 8.0, 8.6, 8.9, 12.0 and 12.1: \
         see `nvidia-smi --query-gpu=compute_cap --format=csv` on the machine that will run the engine. Other GPUs \
         (9.0, 10.0) run ONNX Runtime with engine.provider = \"cuda\""
    )]
    Target {
        /// What was asked for.
        asked: String,
    },
    /// Plans of TensorRT itself are measured on the GPU that they are for.
    #[error(
        "TensorRT builds engines on the GPU that runs them. Only backend \"tensorrt-rtx\" can build ahead"
    )]
    NotAhead,
    /// TensorRT refused a step; its own words follow.
    #[error("TensorRT failed to {step}{}", listed(.log))]
    Step {
        /// What was asked of it.
        step: &'static str,
        /// Its log lines of severity warning and above, oldest first.
        log: Vec<String>,
    },
    /// Somebody asked for the end of the build.
    #[error("the build was cancelled")]
    Cancelled,
    /// The engine store cannot be read or written.
    #[error("{0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

impl TensorrtError {
    /// Whether the process cannot use its GPU any more, and a new one may.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Cuda { code, .. } if is_sticky(*code))
    }

    /// Whether a plan is at fault, so that a new one may do better.
    pub fn is_of_the_plan(&self) -> bool {
        let Self::Step { step, log } = self else { return false };
        match *step {
            LOAD => log.iter().any(|line| PLAN_IS_WRONG.iter().any(|words| line.contains(words))),
            MATCH => true,
            _ => false,
        }
    }
}

/// Whether every further call of the process fails after this result of CUDA.
pub(super) fn is_sticky(code: u32) -> bool {
    STICKY.contains(&code)
}

/// The step that makes an engine of a plan.
pub(crate) const LOAD: &str = "load the plan";
/// The step that compares inputs and outputs.
pub(crate) const MATCH: &str = "match the model with the contract";

fn listed(log: &[String]) -> String {
    if log.is_empty() {
        return ", and gave no reason".into();
    }
    log.iter().fold(":".into(), |text, line| format!("{text}\n  {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_the_plan_is_wrong_asks_for_a_new_one() {
        let loading = |line: &str| TensorrtError::Step { step: LOAD, log: vec!["first".into(), line.into()] };
        for wrong in [
            "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion \
             plan.header.size == blobSize failed.)",
            "Error Code 6: The engine plan file is not compatible with this version of TensorRT, expecting library \
             version 10.3.0.30 got 10.7.0.23, please rebuild.",
            "Error Code 6: The engine plan file is generated on an incompatible device, expecting compute 8.7 got \
             compute 8.6, please rebuild.",
        ] {
            assert!(loading(wrong).is_of_the_plan(), "{wrong}");
        }
        for other in [
            "Error Code 2: OutOfMemory (no further information)",
            "Error Code 1: Cuda Runtime (In ScopedCudaStream: CUDA driver version is insufficient for CUDA runtime version)",
            "",
        ] {
            assert!(!loading(other).is_of_the_plan(), "{other}");
        }
        let context =
            TensorrtError::Step { step: "make an execution context", log: vec!["Serialization".into()] };
        assert!(!context.is_of_the_plan());
    }

    #[test]
    fn a_device_is_lost_by_errors_that_stay_and_by_no_others() {
        let cuda = |code| TensorrtError::Cuda { what: "finish a frame", name: String::new(), code };
        for (code, lost) in
            [(700, true), (719, true), (911, true), (2, false), (1, false), (100, false), (900, false)]
        {
            assert_eq!(cuda(code).is_device_lost(), lost, "{code}");
        }
    }
}

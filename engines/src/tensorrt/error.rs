use std::io;
use std::path::PathBuf;

/// Why there is no TensorRT engine, or why it did not answer.
#[derive(Debug, thiserror::Error)]
pub enum TensorrtError {
    /// The program was compiled without the backend.
    #[error(
        "engine.backend = \"tensorrt\": this nervelightd was built without TensorRT. Install libnvinfer-headers-dev \
         and libnvonnxparsers-dev, then build with --features tensorrt; or set engine.backend = \"onnx\""
    )]
    NotBuilt,
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
        "{name} cannot be opened: {reason}. Install TensorRT {major} (JetPack: `apt-get install tensorrt-libs`), or \
         name the folder it lies in as engine.tensorrt.library"
    )]
    Library {
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
        "{path} is TensorRT {found}, this program was compiled for {compiled}. Build it on this machine again"
    )]
    Version {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The headers' version.
        compiled: String,
    },
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
    #[error(
        "engine store {path}: {source}. Check the folder's owner and free space, or set engine.tensorrt.store"
    )]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn listed(log: &[String]) -> String {
    if log.is_empty() {
        return ", and gave no reason".into();
    }
    log.iter().fold(":".into(), |text, line| format!("{text}\n  {line}"))
}

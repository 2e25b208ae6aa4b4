//! The engine: a cropped luma plane in, a probability map out.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, BundleError};
use crate::contract::Plane;
use crate::golden::{self, Agreement};
use crate::monitor::BuildMonitor;
use crate::onnx::OnnxEngine;
use crate::openvino::{self, OpenvinoEngine, OpenvinoSettings};
use crate::tensorrt::{self, TensorrtError, TensorrtSettings};

/// Computes the nerve's probability map of one crop at a time.
///
/// `&mut self`: one thread at a time. Every engine computes the same function, so engines are
/// compared byte by byte.
pub trait Engine: Send {
    /// Fills `map` (probability x 255) from `crop` (full-range luma).
    ///
    /// # Errors
    /// When the runtime or the device fails; `map` is then unspecified and must not be shown.
    fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError>;

    /// What computes: runtime, device, precision and model.
    fn info(&self) -> &EngineInfo;

    /// The device's own time for the last frame, where the device tells.
    fn device_time(&self) -> Option<Duration> {
        None
    }

    /// Memory of the device that is in use, by everybody, in bytes; none where it is the CPU's.
    fn device_memory(&self) -> Option<u64> {
        None
    }
}

/// Provenance of every mask an engine makes.
#[derive(Debug, Clone, Serialize)]
pub struct EngineInfo {
    /// The runtime with its version, such as `ONNX Runtime 1.22.0`.
    pub runtime: String,
    /// The execution provider or device.
    pub provider: String,
    /// The precision of the model file.
    pub precision: Precision,
    /// Threads used on the CPU, 0 where that has no meaning.
    pub threads: usize,
    /// `name version` of the model.
    pub model: String,
    /// The bundle's digest: sha256 of its manifest, hexadecimal.
    pub digest: String,
}

impl EngineInfo {
    /// Runtime and provider, such as `OpenVINO 2026.4.1 (CPU, f32)`.
    pub fn name(&self) -> String {
        format!("{} ({})", self.runtime, self.provider)
    }
}

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

    /// The file of a bundle that `backend` opens.
    pub fn file(self, backend: Backend) -> &'static str {
        match backend {
            Backend::Auto | Backend::Onnx | Backend::Openvino => self.onnx_file(),
            Backend::Tensorrt | Backend::TensorrtRtx => self.tensorrt_file(),
        }
    }

    /// The precisions that lose less, nearest first.
    pub fn wider(self) -> impl Iterator<Item = Self> {
        let all = [Self::Int8, Self::Fp16, Self::Fp32];
        all.into_iter().skip_while(move |&p| p != self).skip(1)
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

impl Backend {
    /// Whether its engines are plans of TensorRT or of TensorRT for RTX, built before they run.
    pub fn is_tensorrt(self) -> bool {
        matches!(self, Self::Tensorrt | Self::TensorrtRtx)
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

    /// The same with each backend that [`Backend::Auto`] stands for on this machine, the fastest first.
    pub fn candidates(&self) -> Vec<Self> {
        let with = |backend| Self { backend, ..self.clone() };
        match self.backend {
            // A provider that is not the CPU's is ONNX Runtime's, and so is a library that somebody named.
            Backend::Auto
                if self.provider != Provider::Cpu
                    || (self.library.is_some() && self.openvino.library.is_none()) =>
            {
                vec![with(Backend::Onnx)]
            }
            // Not measured on Arm.
            Backend::Auto
                if cfg!(target_arch = "x86_64")
                    && openvino::find_library(self.openvino.library.as_deref()).is_ok() =>
            {
                vec![with(Backend::Openvino), with(Backend::Onnx)]
            }
            Backend::Auto => vec![with(Backend::Onnx)],
            backend => vec![with(backend)],
        }
    }
}

/// Opens the engine that `settings` ask for on the model in `bundle`.
///
/// # Errors
/// When the runtime's library, the provider or the model is missing, or the model breaks the
/// [contract](crate::contract).
pub fn open(bundle: &Bundle, settings: &EngineSettings) -> Result<Box<dyn Engine>, EngineError> {
    open_watched(bundle, settings, &BuildMonitor::default())
}

/// The same as [`open`]; `monitor` shows how far a build is, and can stop it.
///
/// # Errors
/// As for [`open`].
pub fn open_watched(
    bundle: &Bundle,
    settings: &EngineSettings,
    monitor: &BuildMonitor,
) -> Result<Box<dyn Engine>, EngineError> {
    first_of(&settings.candidates(), |settings| {
        Ok(match settings.backend {
            Backend::Auto | Backend::Onnx => Box::new(OnnxEngine::open(bundle, settings)?) as Box<dyn Engine>,
            Backend::Openvino => Box::new(OpenvinoEngine::open(bundle, settings)?),
            Backend::Tensorrt | Backend::TensorrtRtx => tensorrt::open(bundle, settings, false, monitor)?,
        })
    })
}

/// What `open` makes of the first of `candidates` that works. Each failure but the last is a warning.
fn first_of<T>(
    candidates: &[EngineSettings],
    mut open: impl FnMut(&EngineSettings) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let mut opened = Err(EngineError::Infer("no engine".into()));
    for (i, settings) in candidates.iter().enumerate() {
        opened = open(settings);
        match (&opened, candidates.get(i + 1)) {
            (Err(error), Some(next)) => {
                tracing::warn!(%error, "backend = \"auto\" goes on with {:?}", next.backend);
            }
            _ => break,
        }
    }
    opened
}

/// Opens an engine that the bundle's golden frames agree with. With [`Backend::Auto`] a backend that they reject on this
/// machine gives way to the next, and then a precision to the next in the bundle, with a warning: int8, fp16, fp32.
///
/// # Errors
/// As for [`open`] and [`golden::check`], when every precision is rejected; [`golden::check_shown`].
pub fn open_proven(
    bundle: &Bundle,
    settings: &EngineSettings,
    monitor: &BuildMonitor,
) -> Result<(Box<dyn Engine>, Agreement), EngineError> {
    golden::check_shown(bundle)?;
    first_proven(bundle, settings, |precision| {
        let settings = EngineSettings { precision, ..settings.clone() };
        first_of(&settings.candidates(), |settings| {
            let mut engine = open_watched(bundle, settings, monitor)?;
            let agreement = golden::check(engine.as_mut(), bundle)?;
            Ok((engine, agreement))
        })
    })
}

/// What `open` makes of the precision asked for, or of the first wider one that golden frames do not reject.
pub(crate) fn first_proven<T>(
    bundle: &Bundle,
    settings: &EngineSettings,
    mut open: impl FnMut(Precision) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let mut precision = settings.precision;
    loop {
        let error = match open(precision) {
            Err(error @ (EngineError::Golden { .. } | EngineError::Rejected(_))) => error,
            other => return other,
        };
        let is_there = |p: &Precision| bundle.manifest.files.contains_key(p.file(settings.backend));
        match precision.wider().find(is_there) {
            None => return Err(error),
            Some(next) => {
                tracing::warn!(%error, "{precision} is rejected on this machine; {next} is used instead");
                precision = next;
            }
        }
    }
}

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
        provider: String,
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

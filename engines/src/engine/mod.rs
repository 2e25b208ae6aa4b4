//! The engine's vocabulary: what an engine is, what can be asked of it, and what can go wrong.
//!
//! Invariant: nothing in this folder uses a backend. [`crate::open`] knows them all.

mod backend;
mod error;
mod monitor;
mod settings;
mod tensorrt_error;

use std::time::Duration;

use serde::Serialize;

use crate::contract::Plane;
pub use crate::name::UnknownName;
pub use crate::precision::Precision;

pub use backend::{Backend, Product, Provider};
pub use error::EngineError;
pub use monitor::{BuildMonitor, BuildProgress};
pub use settings::{EngineSettings, OpenvinoSettings, TensorrtSettings};
pub use tensorrt_error::TensorrtError;
#[cfg(feature = "nvidia")]
pub(crate) use tensorrt_error::{LOAD, MATCH};

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

    /// The device's own time for the last frame, where the device reports it.
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
    /// The bundle's digest: SHA-256 of its manifest, hexadecimal.
    pub digest: String,
}

impl EngineInfo {
    /// Runtime and provider, such as `OpenVINO 2026.4.1 (CPU, f32)`.
    pub fn name(&self) -> String {
        format!("{} ({})", self.runtime, self.provider)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use serde::de::DeserializeOwned;

    use super::*;

    /// Command lines and configurations must agree.
    fn check<T>(all: &[T])
    where
        T: Copy + PartialEq + Debug + Display + FromStr<Err = UnknownName> + DeserializeOwned,
    {
        for value in all {
            let name = value.to_string();
            assert_eq!(name.parse::<T>().unwrap(), *value);
            assert_eq!(serde_json::from_value::<T>(name.into()).unwrap(), *value);
        }
    }

    #[test]
    fn engines_are_named_as_in_configurations() {
        check(&Precision::ALL);
        check(&Backend::ALL);
        check(&Provider::ALL);
        let error = "fp64".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(error, "`fp64` is unknown; it is one of `fp32`, `fp16`, `int8`");
    }
}

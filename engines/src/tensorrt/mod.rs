//! TensorRT engines, built on the machine that runs them.
//!
//! A plan is bound to its library, GPU and driver, so it is built from the bundle's ONNX file where it will run and
//! kept in the [store]. After a build, and after every loading, the bundle's golden frames decide whether it is used;
//! if not, the next precision is tried.
//!
//! The libraries are opened at run time: one binary starts with and without them. Versions 10.3 to 11.4 are
//! supported, each binary calls the major version that it was compiled for. Networks are always strongly typed:
//! precision is in the ONNX file, never a flag of the builder.

mod error;
pub mod store;
mod watch;

#[cfg(feature = "tensorrt")]
mod build;
#[cfg(feature = "tensorrt")]
mod device;
#[cfg(feature = "tensorrt")]
mod ffi;
#[cfg(all(test, feature = "tensorrt"))]
mod gpu_tests;
#[cfg(feature = "tensorrt")]
mod run;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use error::TensorrtError;
pub use watch::{Progress, Watch};

#[cfg(feature = "tensorrt")]
pub use build::{machine, open, probe};

use crate::engine::EngineInfo;

/// What a configuration says about TensorRT, all of it optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensorrtSettings {
    /// The folder of `libnvinfer`; the system's loader finds it if absent.
    pub library: Option<PathBuf>,
    /// The engine store; see [`store::Store::new`].
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

/// What can be known before an engine is opened.
#[derive(Debug, Clone)]
pub struct Prospect {
    /// Library, GPU, model and the precision asked for.
    pub info: EngineInfo,
    /// What a plan of that is bound to.
    pub key: store::Key,
    /// Whether the store has a plan for that, so that opening takes no build.
    pub is_built: bool,
}

/// What plans of this machine are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Version of TensorRT.
    pub version: String,
    /// The GPU and its driver.
    pub gpu: store::Gpu,
}

#[cfg(not(feature = "tensorrt"))]
mod absent {
    use super::{Machine, Prospect, TensorrtError, TensorrtSettings, Watch};
    use crate::bundle::Bundle;
    use crate::engine::{Engine, EngineError, EngineSettings};

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn probe(_: &Bundle, _: &EngineSettings) -> Result<Prospect, EngineError> {
        Err(TensorrtError::NotBuilt.into())
    }

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn machine(_: &TensorrtSettings) -> Result<Machine, TensorrtError> {
        Err(TensorrtError::NotBuilt)
    }

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: &Bundle, _: &EngineSettings, _: bool, _: &Watch) -> Result<Box<dyn Engine>, EngineError> {
        Err(TensorrtError::NotBuilt.into())
    }
}

#[cfg(not(feature = "tensorrt"))]
pub use absent::{machine, open, probe};

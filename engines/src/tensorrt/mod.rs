//! TensorRT engines, built on the machine that runs them, and those of TensorRT for RTX, which can be built ahead.
//!
//! A plan of TensorRT is bound to its library, GPU and driver, so it is built from the bundle's ONNX file where it will
//! run and kept in the [engine store](crate::store::engines). A plan of TensorRT for RTX is bound to its library and to a
//! compute capability; its kernels are finished on the GPU when it is loaded. After a build, and after every loading, the
//! bundle's golden frames decide whether a plan is used.
//!
//! The libraries are opened at run time: one binary starts with and without them. TensorRT 10.3 to 11.4 and TensorRT for
//! RTX 1.7 are supported; each binary calls the major version that it was compiled for, of TensorRT for RTX the minor one.
//! Networks are always strongly typed: precision is in the ONNX file, never a flag of the builder.

#[cfg(feature = "nvidia")]
mod build;
#[cfg(feature = "nvidia")]
mod device;
#[cfg(feature = "nvidia")]
mod ffi;
#[cfg(all(test, feature = "tensorrt"))]
mod gpu_tests;
#[cfg(all(test, feature = "tensorrt-rtx"))]
mod rtx_tests;
#[cfg(feature = "nvidia")]
mod run;

pub use crate::engine::{Product, TensorrtError, TensorrtSettings};

#[cfg(feature = "nvidia")]
pub use build::{build_ahead, machine, open, probe};

use crate::engine::EngineInfo;
use crate::store::engines::{Gpu, Key, StoreError};

/// What can be known before an engine is opened.
#[derive(Debug, Clone)]
pub struct Prospect {
    /// Library, GPU, model and the precision asked for.
    pub info: EngineInfo,
    /// What a plan of that is bound to.
    pub key: Key,
    /// Whether the store has a plan for that, so that opening takes no build.
    pub is_built: bool,
    /// Why the golden frames rejected such a plan when it was built; another precision will be used.
    pub rejected: Option<String>,
}

/// A plan that was built for another machine's GPU.
#[derive(Debug, Clone)]
pub struct Ahead {
    /// What it is for.
    pub key: Key,
    /// Version of the library, with its name.
    pub runtime: String,
    /// `name version` of the model.
    pub model: String,
    /// Whether the store had it already.
    pub was_built: bool,
}

/// What plans of this machine are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The library.
    pub product: Product,
    /// Version of TensorRT.
    pub version: String,
    /// The GPU and its driver, as far as plans of this library are bound to them.
    pub gpu: Gpu,
}

impl From<StoreError> for TensorrtError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(not(feature = "nvidia"))]
mod absent {
    use super::{Ahead, Machine, Product, Prospect, TensorrtError, TensorrtSettings};
    use crate::bundle::Bundle;
    use crate::engine::{BuildMonitor, Engine, EngineError, EngineSettings};
    use crate::golden::Agreement;

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn probe(_: &Bundle, settings: &EngineSettings) -> Result<Prospect, EngineError> {
        Err(not_built(settings))
    }

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn build_ahead(
        _: &Bundle,
        settings: &EngineSettings,
        _: &str,
        _: bool,
        _: &BuildMonitor,
    ) -> Result<Ahead, EngineError> {
        Err(not_built(settings))
    }

    fn not_built(settings: &EngineSettings) -> EngineError {
        TensorrtError::NotBuilt(Product::of(settings.backend)).into()
    }

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn machine(product: Product, _: &TensorrtSettings) -> Result<Machine, TensorrtError> {
        Err(TensorrtError::NotBuilt(product))
    }

    /// Says that the backend is not in this program.
    ///
    /// # Errors
    /// Always.
    pub fn open(
        _: &Bundle,
        settings: &EngineSettings,
        _: bool,
        _: &BuildMonitor,
    ) -> Result<(Box<dyn Engine>, Agreement), EngineError> {
        Err(not_built(settings))
    }
}

#[cfg(not(feature = "nvidia"))]
pub use absent::{build_ahead, machine, open, probe};

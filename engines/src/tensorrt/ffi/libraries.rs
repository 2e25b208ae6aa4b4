//! TensorRT's libraries, and building with them.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use libloading::Library;

use super::super::Product;
use super::abi::{Contract, Factory, NlApi, NlFactories, NlOptions, ParserFactory, api};
use super::hooks::Hooks;
use super::lock;
use super::log::{Call, Counted, WITHOUT_GPU, on_log};
use crate::engine::{BuildMonitor, TensorrtError};
use crate::library::{Once, in_use};

/// The shim's status for a compute capability that the library does not know.
const TARGET: i32 = 13;

/// How to build.
pub struct Options {
    /// Bytes a layer may use for itself, 0 for all there is.
    pub workspace: usize,
    /// Optimisation level.
    pub level: u8,
    /// TensorRT for RTX: 89 for 8.9.
    pub compute_capability: i32,
    /// There is no GPU to ask, and what the library says about that is no error.
    pub is_without_gpu: bool,
}

/// TensorRT's libraries, opened once in the life of the process and never closed: they leave threads behind.
pub struct Libraries {
    pub(super) api: &'static NlApi,
    pub(super) factories: NlFactories,
    /// `major.minor.patch`.
    pub version: String,
    /// Why the library has no builder or there is no parser library, where that is so.
    cannot_build: Option<String>,
}

impl Libraries {
    /// Whether this program was compiled with them.
    ///
    /// # Errors
    /// [`TensorrtError::NotBuilt`] when it was not.
    pub fn compiled(product: Product) -> Result<(), TensorrtError> {
        api(product).map(drop).ok_or(TensorrtError::NotBuilt(product))
    }

    /// Opens the library and its parser, of the major version that this program was compiled for, from `folder` or
    /// where the system's loader finds them. `libnvinfer_lean`, where the full library is missing, is for tests: it
    /// builds nothing and runs no plan of the full one.
    ///
    /// Bring the device up first: without one TensorRT's factories hand out objects that cannot be used. TensorRT for
    /// RTX has a builder that needs none.
    ///
    /// # Errors
    /// When no library can be opened, or it is of another version.
    pub fn load(product: Product, folder: Option<&Path>) -> Result<&'static Self, TensorrtError> {
        static LOADED: [Once<Libraries>; 2] = [const { Once::new() }; 2];
        let slot = match product {
            Product::Tensorrt => &LOADED[0],
            Product::Rtx => &LOADED[1],
        };
        let load = || Ok((folder.map(Into::into), Self::open(product, folder)?));
        slot.get(folder, load, |loaded| TensorrtError::Library {
            product,
            name: stems(product).0.into(),
            major: api(product).map_or(0, |api| api.version / 10_000),
            reason: in_use(loaded),
        })
    }

    fn open(product: Product, folder: Option<&Path>) -> Result<Self, TensorrtError> {
        let api = api(product).ok_or(TensorrtError::NotBuilt(product))?;
        let (stem, parser_stem) = stems(product);
        let major = api.version / 10_000;
        let open = |stem: &str| {
            let name = format!("{stem}.so.{major}");
            let path = folder.map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name));
            // SAFETY: the initialisers of NVIDIA's libraries ask nothing of their caller.
            match unsafe { Library::new(&path) } {
                // Never closed, see the type's description.
                Ok(library) => Ok((ManuallyDrop::new(library), path)),
                Err(e) => Err(TensorrtError::Library { product, name, major, reason: e.to_string() }),
            }
        };
        let lean = |full| match product {
            Product::Tensorrt => open("libnvinfer_lean").map_err(|_| full),
            Product::Rtx => Err(full),
        };
        let (library, path) = open(stem).or_else(lean)?;
        let missing = |symbol| TensorrtError::Symbol { path: path.clone(), symbol };
        // SAFETY: types as declared in NvInferRuntime.h, NvInfer.h and NvOnnxParser.h; the libraries are never
        // closed, so the addresses stay good.
        let (version, runtime, builder) = unsafe {
            let version = *library
                .get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion")
                .map_err(|_| missing("getInferLibVersion"))?;
            let runtime = *library
                .get::<Factory>(b"createInferRuntime_INTERNAL")
                .map_err(|_| missing("createInferRuntime_INTERNAL"))?;
            let builder = library.get::<Factory>(b"createInferBuilder_INTERNAL").ok().map(|f| *f);
            (version(), runtime, builder)
        };
        if !fits(product, api.version, version) {
            let compiled = dotted(api.version);
            return Err(TensorrtError::Version { product, path, found: dotted(version), compiled });
        }
        let mut cannot_build = builder
            .is_none()
            .then(|| format!("{} builds no plans, and runs none of the full library", path.display()));
        let parser = match open(parser_stem) {
            // SAFETY: type as declared in NvOnnxParser.h.
            Ok((parser, _)) => unsafe {
                parser.get::<ParserFactory>(b"createNvOnnxParser_INTERNAL").ok().map(|f| *f)
            },
            Err(e) => {
                cannot_build.get_or_insert(e.to_string());
                None
            }
        };
        let factories = NlFactories { runtime, builder, parser };
        Ok(Self { api, factories, version: dotted(version), cannot_build })
    }

    /// Builds a plan from an ONNX model. `timing` is the timing cache of earlier builds; the grown one comes back
    /// beside the plan.
    ///
    /// # Errors
    /// [`TensorrtError::Step`] with every error of the parser or builder, [`TensorrtError::Cancelled`].
    pub fn build(
        &self,
        onnx: &[u8],
        options: &Options,
        timing: &[u8],
        monitor: &BuildMonitor,
    ) -> Result<(Vec<u8>, Vec<u8>), TensorrtError> {
        if let Some(reason) = &self.cannot_build {
            return Err(TensorrtError::Step { step: "build an engine", log: vec![reason.clone()] });
        }
        let hooks = Hooks::new(monitor);
        let _expected = options.is_without_gpu.then(|| Counted::new(&WITHOUT_GPU));
        let raw = NlOptions {
            workspace: options.workspace,
            level: options.level.into(),
            compute_capability: options.compute_capability,
        };
        let contract = Contract::new();
        let call = Call::begin();
        // SAFETY: everything pointed to outlives the call, and the shim keeps nothing of it but the log function.
        let status = unsafe {
            (self.api.build)(
                &self.factories,
                on_log,
                &hooks.raw(),
                &contract.raw(),
                &raw,
                onnx.into(),
                timing.into(),
            )
        };
        // A builder that was stopped has no plan; whether it was told to is known here.
        if status != 0 && monitor.is_cancelled() {
            return Err(TensorrtError::Cancelled);
        }
        if status == TARGET {
            let cc = options.compute_capability;
            return Err(TensorrtError::Target { asked: format!("{}.{}", cc / 10, cc % 10) });
        }
        call.check(status)?;
        Ok((std::mem::take(&mut *lock(&hooks.plan)), std::mem::take(&mut *lock(&hooks.timing))))
    }
}

/// `major.minor.patch` of TensorRT's version number.
fn dotted(version: i32) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

/// Whether a library of version `found` has the tables that headers of version `compiled` describe. TensorRT appends to
/// them within a major version; TensorRT for RTX inserted functions from 1.4 to 1.5.
fn fits(product: Product, compiled: i32, found: i32) -> bool {
    let same = match product {
        Product::Tensorrt => 10_000,
        Product::Rtx => 100,
    };
    compiled / same == found / same
}

/// Beginnings of the names of library and parser.
fn stems(product: Product) -> (&'static str, &'static str) {
    match product {
        Product::Tensorrt => ("libnvinfer", "libnvonnxparser"),
        Product::Rtx => ("libtensorrt_rtx", "libtensorrt_onnxparser_rtx"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensorrt_must_be_of_the_same_major_version_and_that_for_rtx_of_the_same_minor_one() {
        use Product::{Rtx, Tensorrt};
        for (product, compiled, found, expected) in [
            (Tensorrt, 100_300, 101_602, true),
            (Tensorrt, 100_300, 110_000, false),
            (Rtx, 10_701, 10_700, true),
            (Rtx, 10_701, 10_600, false),
            (Rtx, 10_701, 20_701, false),
        ] {
            assert_eq!(fits(product, compiled, found), expected, "{product} {compiled} {found}");
        }
    }
}

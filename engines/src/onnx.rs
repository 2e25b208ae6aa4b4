//! The ONNX Runtime engine: everywhere, and the reference for every other one.
//!
//! The library is opened at run time: one binary starts with and without it and says what is
//! missing. See <https://onnxruntime.ai/docs/api/c/>.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use crate::bundle::Bundle;
use crate::contract::{INPUT, OUTPUT, Plane, SHAPE};
use crate::engine::{Engine, EngineError, EngineInfo, EngineSettings, Provider};
use crate::library::{self, Once, threads};

const NAME: &str = "ONNX Runtime";
const INSTALL: &str = "Install it (`pip install onnxruntime`) and set engine.library, or ORT_DYLIB_PATH, to its \
                       libonnxruntime.so";

/// A session on one model with its input and output tensors, allocated once.
#[derive(Debug)]
pub struct OnnxEngine {
    session: Session,
    binding: IoBinding,
    frame: Tensor<u8>,
    info: EngineInfo,
}

impl OnnxEngine {
    /// Loads the runtime if it is not loaded yet and the bundle's model of the asked precision.
    ///
    /// # Errors
    /// See [`EngineError`]: each names what is missing and what to do.
    pub fn open(bundle: &Bundle, settings: &EngineSettings) -> Result<Self, EngineError> {
        let runtime = Runtime::load(settings.library.as_deref())?;
        let file = settings.precision.onnx_file();
        let model = bundle.model_file(file)?;
        let threads = threads(settings.threads);
        let session = build(runtime, settings.provider, threads, file, &model)?;
        check_outlet(file, "input", session.inputs(), INPUT)?;
        check_outlet(file, "output", session.outputs(), OUTPUT)?;

        let fail = |e: ort::Error| EngineError::Model { model: file.into(), reason: e.to_string() };
        let frame = Tensor::<u8>::new(&Allocator::default(), SHAPE).map_err(fail)?;
        let map = Tensor::<u8>::new(&Allocator::default(), SHAPE).map_err(fail)?;
        let mut binding = session.create_binding().map_err(fail)?;
        binding.bind_output(OUTPUT, map).map_err(fail)?;
        let info = EngineInfo {
            runtime: runtime.version.clone(),
            provider: settings.provider.title().into(),
            precision: settings.precision,
            threads,
            model: bundle.model(),
            digest: bundle.digest.clone(),
        };
        Ok(Self { session, binding, frame, info })
    }
}

impl Engine for OnnxEngine {
    fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError> {
        let fail = |e: ort::Error| EngineError::Infer(e.to_string());
        self.frame.extract_tensor_mut().1.copy_from_slice(crop);
        // Bound anew for each frame: a provider with its own memory copies at this call.
        self.binding.bind_input(INPUT, &self.frame).map_err(fail)?;
        let outputs = self.session.run_binding(&self.binding).map_err(fail)?;
        let (_, bytes) = outputs[OUTPUT].try_extract_tensor::<u8>().map_err(fail)?;
        map.copy_from_slice(bytes);
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

fn build(
    runtime: &Runtime,
    provider: Provider,
    threads: usize,
    file: &str,
    model: &[u8],
) -> Result<Session, EngineError> {
    let mut builder = begin(runtime, provider, threads).map_err(|e| EngineError::Provider {
        provider,
        runtime: runtime.version.clone(),
        reason: e.to_string(),
    })?;
    builder
        .commit_from_memory(model)
        .map_err(|e| EngineError::Model { model: file.into(), reason: e.to_string() })
}

fn begin(runtime: &Runtime, provider: Provider, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        // A spinning pool would keep the cores from the thread that shows the video.
        .with_intra_op_spinning(false)?;
    Ok(match dispatch(provider) {
        Some(dispatch) => builder.with_execution_providers([dispatch.error_on_failure()])?,
        None => builder,
    })
}

fn dispatch(provider: Provider) -> Option<ExecutionProviderDispatch> {
    match provider {
        Provider::Cpu => None,
        Provider::Cuda => Some(ep::CUDA::default().build()),
        Provider::Tensorrt => Some(ep::TensorRT::default().build()),
    }
}

fn check_outlet(file: &str, what: &'static str, found: &[Outlet], name: &str) -> Result<(), EngineError> {
    let fits = |outlet: &Outlet| {
        outlet.name() == name
            && matches!(outlet.dtype(), ValueType::Tensor { ty: TensorElementType::Uint8, shape, .. }
                if shape[..] == SHAPE)
    };
    if found.len() == 1 && fits(&found[0]) {
        return Ok(());
    }
    let list: Vec<_> = found.iter().map(|o| format!("{} {}", o.name(), o.dtype())).collect();
    Err(EngineError::Contract {
        model: file.into(),
        what,
        found: list.join(" and "),
        expected: format!("{name} uint8 {SHAPE:?}"),
    })
}

/// ONNX Runtime, loaded once in the life of the process.
struct Runtime {
    environment: Environment,
    version: String,
}

impl Runtime {
    fn load(configured: Option<&Path>) -> Result<&'static Self, EngineError> {
        static RUNTIME: Once<Runtime> = Once::new();
        let load = || {
            let path = find_library(configured)?;
            let fail = |reason: String| broken(&path, reason);
            let environment = ort::init_from(&path)
                .map_err(|e| fail(e.to_string()))?
                .with_name("nervelight")
                .with_telemetry(false)
                .build()
                .map_err(|e| fail(e.to_string()))?;
            let version = format!("{NAME} {}", library_version(&path).map_err(|e| fail(e.to_string()))?);
            Ok((Some(path), Self { environment, version }))
        };
        RUNTIME.get(configured, load, |loaded| {
            broken(configured.unwrap_or(Path::new(NAME)), library::in_use(loaded))
        })
    }
}

fn broken(path: &Path, reason: String) -> EngineError {
    EngineError::Library { runtime: NAME, path: path.into(), reason, oldest: "1.17" }
}

/// Finds `libonnxruntime.so`: the configured path, `ORT_DYLIB_PATH`, then the [usual places](library::find).
///
/// # Errors
/// [`EngineError::LibraryNotFound`] with every place looked at.
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, EngineError> {
    library::find("libonnxruntime.so", "ORT_DYLIB_PATH", configured)
        .map_err(|searched| EngineError::LibraryNotFound { runtime: NAME, searched, install: INSTALL })
}

/// The version that the library at `path`, which is loaded already, states; `ort` keeps it to itself.
#[allow(unsafe_code)]
fn library_version(path: &Path) -> Result<String, libloading::Error> {
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: the library's initialisers have run when `ort` loaded it; `OrtGetApiBase` and
    // `GetVersionString` take nothing and return pointers to static data (onnxruntime_c_api.h).
    unsafe {
        let library = libloading::Library::new(path)?;
        let get_base = library.get::<GetApiBase>(b"OrtGetApiBase")?;
        let version = ((*get_base()).GetVersionString)();
        Ok(std::ffi::CStr::from_ptr(version).to_string_lossy().into_owned())
    }
}

//! The ONNX Runtime engine, the default everywhere and the reference for every other one.
//!
//! The library is opened at run time: one binary starts with and without it and says what is
//! missing. See <https://onnxruntime.ai/docs/api/c/>.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch, OpenVINO};
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

use crate::bundle::Bundle;
use crate::contract::{INPUT, OUTPUT, Plane, SHAPE};
use crate::engine::{Engine, EngineError, EngineInfo, EngineSettings, Provider};

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
        let model = bundle.read(file)?;
        let threads = match settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let (session, provider) = build(runtime, settings.provider, threads, file, &model)?;
        check_outlet(file, "input", session.inputs(), INPUT)?;
        check_outlet(file, "output", session.outputs(), OUTPUT)?;

        let fail = |e: ort::Error| EngineError::Model { model: file.into(), reason: e.to_string() };
        let frame = Tensor::<u8>::new(&Allocator::default(), SHAPE).map_err(fail)?;
        let map = Tensor::<u8>::new(&Allocator::default(), SHAPE).map_err(fail)?;
        let mut binding = session.create_binding().map_err(fail)?;
        binding.bind_output(OUTPUT, map).map_err(fail)?;
        let info = EngineInfo {
            runtime: runtime.version.clone(),
            provider: provider_name(provider).into(),
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

/// The session, and the provider that was chosen where it is [`Provider::Auto`].
fn build(
    runtime: &Runtime,
    provider: Provider,
    threads: usize,
    file: &str,
    model: &[u8],
) -> Result<(Session, Provider), EngineError> {
    let begin = |provider| {
        let builder = begin(runtime, provider, threads).map_err(|e| EngineError::Provider {
            provider: provider_name(provider).to_lowercase(),
            runtime: runtime.version.clone(),
            reason: e.to_string(),
        })?;
        Ok((builder, provider))
    };
    let (mut builder, provider) = match provider {
        Provider::Auto if !OpenVINO::is_available().unwrap_or(false) => begin(Provider::Cpu)?,
        Provider::Auto => begin(Provider::Openvino).or_else(|error: EngineError| {
            // It was compiled in, and lacks libraries.
            tracing::warn!(%error, "provider = \"auto\" goes on without OpenVINO");
            begin(Provider::Cpu)
        })?,
        stated => begin(stated)?,
    };
    let session = builder
        .commit_from_memory(model)
        .map_err(|e| EngineError::Model { model: file.into(), reason: e.to_string() })?;
    Ok((session, provider))
}

fn begin(runtime: &Runtime, provider: Provider, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        // A spinning pool would keep the cores from the thread that shows the video.
        .with_intra_op_spinning(false)?;
    Ok(match dispatch(provider, threads) {
        Some(dispatch) => builder.with_execution_providers([dispatch.error_on_failure()])?,
        None => builder,
    })
}

fn dispatch(provider: Provider, threads: usize) -> Option<ExecutionProviderDispatch> {
    match provider {
        Provider::Auto | Provider::Cpu => None,
        Provider::Cuda => Some(ep::CUDA::default().build()),
        Provider::Tensorrt => Some(ep::TensorRT::default().build()),
        Provider::Openvino => {
            Some(OpenVINO::default().with_device_type("CPU").with_num_threads(threads).build())
        }
    }
}

fn provider_name(provider: Provider) -> &'static str {
    match provider {
        Provider::Auto | Provider::Cpu => "CPU",
        Provider::Cuda => "CUDA",
        Provider::Tensorrt => "TensorRT",
        Provider::Openvino => "OpenVINO",
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
    path: PathBuf,
}

impl Runtime {
    fn load(configured: Option<&Path>) -> Result<&'static Self, EngineError> {
        static RUNTIME: OnceLock<Runtime> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return match configured {
                Some(path) if path != runtime.path => Err(EngineError::Library {
                    path: path.into(),
                    reason: format!("this process already uses {}", runtime.path.display()),
                }),
                _ => Ok(runtime),
            };
        }
        let path = find_library(configured)?;
        let fail = |reason: String| EngineError::Library { path: path.clone(), reason };
        let environment = ort::init_from(&path)
            .map_err(|e| fail(e.to_string()))?
            .with_name("nervelight")
            .with_telemetry(false)
            .build()
            .map_err(|e| fail(e.to_string()))?;
        let version = format!("ONNX Runtime {}", library_version(&path).map_err(|e| fail(e.to_string()))?);
        Ok(RUNTIME.get_or_init(|| Self { environment, version, path }))
    }
}

/// Finds `libonnxruntime.so`: the configured path, `ORT_DYLIB_PATH`, `/usr/lib/nervelight`, the
/// user's cache (`$XDG_CACHE_HOME/nervelight`, where `setup.sh` puts it), the system's library
/// folders.
///
/// # Errors
/// [`EngineError::LibraryNotFound`] with every place looked at.
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, EngineError> {
    const NAME: &str = "libonnxruntime.so";
    let from_env = || std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()).map(PathBuf::from);
    // A path that somebody named is the only one tried: another library would be a silent fallback.
    let places = if let Some(path) = configured.map(Path::to_path_buf).or_else(from_env) {
        vec![path]
    } else {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        let mut places = vec![Path::new("/usr/lib/nervelight").join(NAME)];
        places.extend(cache.map(|c| c.join("nervelight").join(NAME)));
        let system =
            ["/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
        places.extend(system.iter().map(|dir| Path::new(dir).join(NAME)));
        places
    };
    places.iter().find(|p| p.is_file()).cloned().ok_or_else(|| EngineError::LibraryNotFound {
        searched: places.iter().map(|p| p.display().to_string()).collect(),
    })
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

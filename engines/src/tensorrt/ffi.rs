//! TensorRT's libraries and the C ABI of `shim.cpp`: the only place that calls either.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, OnceLock, PoisonError};

use libloading::Library;

use super::device::{Memory, Stream};
use super::error::TensorrtError;
use super::watch::Watch;
use crate::contract::{INPUT, OUTPUT, SHAPE};

/// Log lines kept for errors.
const LINES: usize = 100;

type Factory = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
type ParserFactory = unsafe extern "C" fn(*mut c_void, *mut c_void, i32) -> *mut c_void;

type NlLog = extern "C" fn(i32, *const c_char);

#[repr(C)]
struct NlHooks {
    user: *mut c_void,
    progress: extern "C" fn(*mut c_void, i32, *const c_char, *const c_char, i32) -> i32,
    bytes: extern "C" fn(*mut c_void, i32, *const c_void, usize),
}

#[repr(C)]
#[derive(Clone, Copy)]
struct NlFactories {
    runtime: Factory,
    builder: Option<Factory>,
    parser: Option<ParserFactory>,
}

#[repr(C)]
struct NlContract {
    input: *const c_char,
    output: *const c_char,
    shape: [i64; 4],
}

#[repr(C)]
struct NlOptions {
    workspace: usize,
    level: i32,
}

#[repr(C)]
struct NlBytes {
    data: *const c_void,
    size: usize,
}

impl From<&[u8]> for NlBytes {
    fn from(bytes: &[u8]) -> Self {
        // An empty slice's pointer dangles; TensorRT takes null for "nothing".
        let data = if bytes.is_empty() { ptr::null() } else { bytes.as_ptr().cast() };
        Self { data, size: bytes.len() }
    }
}

#[repr(C)]
struct NlEngine {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn nl_header_version() -> i32;
    fn nl_build(
        factories: *const NlFactories,
        log: NlLog,
        hooks: *const NlHooks,
        contract: *const NlContract,
        options: *const NlOptions,
        onnx: NlBytes,
        timing: NlBytes,
    ) -> i32;
    fn nl_engine_open(
        factories: *const NlFactories,
        log: NlLog,
        contract: *const NlContract,
        plan: NlBytes,
        out: *mut *mut NlEngine,
    ) -> i32;
    fn nl_engine_bind(
        engine: *mut NlEngine,
        contract: *const NlContract,
        input: *mut c_void,
        output: *mut c_void,
    ) -> i32;
    fn nl_engine_enqueue(engine: *mut NlEngine, stream: *mut c_void) -> i32;
    fn nl_engine_memory(engine: *const NlEngine) -> i64;
    fn nl_engine_close(engine: *mut NlEngine);
}

/// `major.minor.patch` of TensorRT's version number.
fn dotted(version: i32) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

/// What TensorRT said last. It has one logger in the process, whichever engine and thread it speaks of.
static SAID: Mutex<Said> = Mutex::new(Said { lines: VecDeque::new(), count: 0 });

struct Said {
    /// The last ones, oldest first.
    lines: VecDeque<String>,
    /// All there ever were.
    count: usize,
}

/// A call of the shim. What is said from its begin on goes into its error; another engine's words can be among them.
struct Call {
    said: usize,
}

impl Call {
    fn begin() -> Self {
        Self { said: lock(&SAID).count }
    }

    /// The one gate: every status of the shim passes here, failures with what TensorRT said.
    fn check(self, status: i32) -> Result<(), TensorrtError> {
        let step = match status {
            0 => return Ok(()),
            1 => "make a builder",
            2 => "make an empty network",
            3 => "make a parser",
            4 => "parse the model",
            5 => "match the model with the contract",
            6 => "build an engine",
            7 => "make a runtime",
            8 => "load the plan",
            9 => "make an execution context",
            10 => "take the addresses of input and output",
            11 => "enqueue a frame",
            _ => "go on",
        };
        let said = lock(&SAID);
        let old = said.lines.len().saturating_sub(said.count - self.said);
        Err(TensorrtError::Step { step, log: said.lines.iter().skip(old).cloned().collect() })
    }
}

/// What a build hands over, and where it shows how far it is.
struct Hooks<'a> {
    plan: Mutex<Vec<u8>>,
    timing: Mutex<Vec<u8>>,
    watch: &'a Watch,
}

impl Hooks<'_> {
    fn raw(&self) -> NlHooks {
        NlHooks { user: ptr::from_ref(self).cast_mut().cast(), progress: on_progress, bytes: on_bytes }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's word.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

extern "C" fn on_log(severity: i32, text: *const c_char) {
    // Its chatter is not even copied unless somebody listens.
    if severity > 3 && !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    // SAFETY: the shim passes TensorRT's text.
    let text = unsafe { owned(text) };
    match severity {
        0 | 1 => tracing::error!(tensorrt = %text),
        2 => tracing::warn!(tensorrt = %text),
        3 => tracing::debug!(tensorrt = %text),
        _ => tracing::trace!(tensorrt = %text),
    }
    if severity <= 2 {
        let mut said = lock(&SAID);
        said.count += 1;
        if said.lines.len() == LINES {
            said.lines.pop_front();
        }
        said.lines.push_back(text);
    }
}

extern "C" fn on_progress(
    user: *mut c_void,
    event: i32,
    phase: *const c_char,
    parent: *const c_char,
    value: i32,
) -> i32 {
    // SAFETY: the shim passes `Hooks::raw`'s address, and TensorRT's names.
    let (watch, phase) = unsafe { ((*user.cast::<Hooks<'_>>()).watch, owned(phase)) };
    match event {
        0 => watch.begin(phase, value, !parent.is_null()),
        1 => watch.step(&phase, value),
        _ => watch.end(&phase),
    }
    i32::from(!watch.is_cancelled())
}

extern "C" fn on_bytes(user: *mut c_void, kind: i32, data: *const c_void, size: usize) {
    // SAFETY: the shim passes `Hooks::raw`'s address, and `size` readable bytes.
    let (hooks, bytes) =
        unsafe { (&*user.cast::<Hooks<'_>>(), std::slice::from_raw_parts(data.cast::<u8>(), size)) };
    let kept = if kind == 0 { &hooks.plan } else { &hooks.timing };
    *lock(kept) = bytes.to_vec();
}

/// The contract in C's words, with the strings it points to.
struct Contract {
    names: [CString; 2],
}

impl Contract {
    fn new() -> Self {
        // Constants without zero bytes.
        Self { names: [INPUT, OUTPUT].map(|name| CString::new(name).unwrap_or_default()) }
    }

    fn raw(&self) -> NlContract {
        NlContract { input: self.names[0].as_ptr(), output: self.names[1].as_ptr(), shape: SHAPE }
    }
}

/// TensorRT's libraries, opened once in the life of the process and never closed: they leave threads behind.
pub struct Libraries {
    factories: NlFactories,
    /// `major.minor.patch`.
    pub version: String,
    /// Why the library has no builder or there is no parser library, where that is so.
    cannot_build: Option<String>,
    folder: Option<PathBuf>,
}

impl Libraries {
    /// Opens `libnvinfer` and `libnvonnxparser` of the major version that this program was compiled for, from
    /// `folder` or where the system's loader finds them. `libnvinfer_lean`, which runs plans and builds none, will
    /// do where the full one is missing.
    ///
    /// Bring the device up first: without one the factories hand out objects that cannot be used.
    ///
    /// # Errors
    /// When neither library can be opened, or it is of another version.
    pub fn load(folder: Option<&Path>) -> Result<&'static Self, TensorrtError> {
        static LOADED: OnceLock<Libraries> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = lock(&LOADING);
        if let Some(loaded) = LOADED.get() {
            return match folder {
                Some(_) if folder != loaded.folder.as_deref() => Err(TensorrtError::Library {
                    name: "libnvinfer".into(),
                    major: major(),
                    reason: "this process already uses another one".into(),
                }),
                _ => Ok(loaded),
            };
        }
        let libraries = Self::open(folder)?;
        Ok(LOADED.get_or_init(|| libraries))
    }

    fn open(folder: Option<&Path>) -> Result<Self, TensorrtError> {
        let major = major();
        let open = |stem: &str| {
            let name = format!("{stem}.so.{major}");
            let path = folder.map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name));
            // SAFETY: the initialisers of NVIDIA's libraries ask nothing of their caller.
            match unsafe { Library::new(&path) } {
                // Never closed, see the type's description.
                Ok(library) => Ok((ManuallyDrop::new(library), path)),
                Err(e) => Err(TensorrtError::Library { name, major, reason: e.to_string() }),
            }
        };
        let (library, path) = open("libnvinfer").or_else(|full| open("libnvinfer_lean").map_err(|_| full))?;
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
        if version / 10_000 != major {
            // SAFETY: takes nothing, returns a number.
            let compiled = dotted(unsafe { nl_header_version() });
            return Err(TensorrtError::Version { path, found: dotted(version), compiled });
        }
        let mut cannot_build =
            builder.is_none().then(|| format!("{} runs plans and builds none", path.display()));
        let parser = match open("libnvonnxparser") {
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
        Ok(Self { factories, version: dotted(version), cannot_build, folder: folder.map(Into::into) })
    }

    /// Builds a plan from an ONNX model. `timing` is the timing cache of earlier builds; the grown one comes back
    /// beside the plan.
    ///
    /// # Errors
    /// [`TensorrtError::Step`] with every error of the parser or builder, [`TensorrtError::Cancelled`].
    pub fn build(
        &self,
        onnx: &[u8],
        workspace: usize,
        level: u8,
        timing: &[u8],
        watch: &Watch,
    ) -> Result<(Vec<u8>, Vec<u8>), TensorrtError> {
        if let Some(reason) = &self.cannot_build {
            return Err(TensorrtError::Step { step: "build an engine", log: vec![reason.clone()] });
        }
        let hooks = Hooks { plan: Mutex::default(), timing: Mutex::default(), watch };
        let options = NlOptions { workspace, level: level.into() };
        let contract = Contract::new();
        let call = Call::begin();
        // SAFETY: everything pointed to outlives the call, and the shim keeps nothing of it but the log function.
        let status = unsafe {
            nl_build(
                &self.factories,
                on_log,
                &hooks.raw(),
                &contract.raw(),
                &options,
                onnx.into(),
                timing.into(),
            )
        };
        // A builder that was stopped has no plan; whether it was told to is known here.
        if status != 0 && watch.is_cancelled() {
            return Err(TensorrtError::Cancelled);
        }
        call.check(status)?;
        Ok((std::mem::take(&mut *lock(&hooks.plan)), std::mem::take(&mut *lock(&hooks.timing))))
    }
}

/// Major version of TensorRT that this program was compiled for.
fn major() -> i32 {
    // SAFETY: takes nothing, returns a number.
    unsafe { nl_header_version() / 10_000 }
}

/// Runtime, engine and execution context of one plan, with the memory of a frame.
pub struct Engine {
    raw: NonNull<NlEngine>,
    /// Input and output. Outlives `raw`, which knows its addresses and which `Drop` frees before the fields go.
    pub memory: Memory,
}

// SAFETY: an execution context may be used from any thread, one at a time; `&mut self` sees to the latter.
unsafe impl Send for Engine {}

impl Engine {
    /// Makes an engine of a plan. The CUDA context must be bound to this thread, as for every call.
    ///
    /// # Errors
    /// [`TensorrtError::Step`] when the plan is empty, damaged, of another version or device, or has other inputs
    /// or outputs than the contract's.
    pub fn open(libraries: &Libraries, plan: &[u8], memory: Memory) -> Result<Self, TensorrtError> {
        let contract = Contract::new();
        let mut raw = ptr::null_mut();
        let call = Call::begin();
        // SAFETY: everything pointed to outlives the call, and the shim keeps nothing of it but the log function.
        let status =
            unsafe { nl_engine_open(&libraries.factories, on_log, &contract.raw(), plan.into(), &mut raw) };
        call.check(status)?;
        let raw = NonNull::new(raw).ok_or(TensorrtError::Step { step: "load the plan", log: vec![] })?;
        let engine = Self { raw, memory };
        let (input, output) = engine.memory.addresses()?;
        let call = Call::begin();
        // SAFETY: the engine and the contract's strings are alive; the memory holds a frame each, lives as long as
        // the engine and is never replaced.
        let status = unsafe {
            nl_engine_bind(raw.as_ptr(), &contract.raw(), input as *mut c_void, output as *mut c_void)
        };
        call.check(status)?;
        Ok(engine)
    }

    /// Puts one frame's work on `stream`.
    ///
    /// # Errors
    /// When TensorRT or the driver refuses it.
    pub fn enqueue(&mut self, stream: &Stream) -> Result<(), TensorrtError> {
        self.memory.upload(stream)?;
        let call = Call::begin();
        // SAFETY: engine and stream are alive.
        let status = unsafe { nl_engine_enqueue(self.raw.as_ptr(), stream.raw()) };
        call.check(status)?;
        self.memory.download(stream)
    }

    /// Device memory that the context takes for activations, in bytes.
    pub fn workspace(&self) -> u64 {
        // SAFETY: the engine is alive.
        unsafe { nl_engine_memory(self.raw.as_ptr()) }.max(0) as u64
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: made by `nl_engine_open`, freed once.
        unsafe { nl_engine_close(self.raw.as_ptr()) };
    }
}

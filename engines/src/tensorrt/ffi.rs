//! TensorRT's libraries and the C ABI of `shim.cpp`: the only place that calls either.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use libloading::Library;

use super::Product;
use super::device::{Memory, Stream};
use super::error::{LOAD, MATCH, TensorrtError};
use crate::contract::{INPUT, OUTPUT, SHAPE};
use crate::monitor::BuildMonitor;

/// The shim's status for a compute capability that the library does not know.
const TARGET: i32 = 13;
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
    compute_capability: i32,
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

/// The shim's functions, compiled against the headers of one library.
#[repr(C)]
struct NlApi {
    version: i32,
    build: unsafe extern "C" fn(
        *const NlFactories,
        NlLog,
        *const NlHooks,
        *const NlContract,
        *const NlOptions,
        NlBytes,
        NlBytes,
    ) -> i32,
    open: unsafe extern "C" fn(
        *const NlFactories,
        NlLog,
        *const NlContract,
        NlBytes,
        *mut *mut NlEngine,
    ) -> i32,
    bind: unsafe extern "C" fn(*mut NlEngine, *const NlContract, *mut c_void, *mut c_void) -> i32,
    enqueue: unsafe extern "C" fn(*mut NlEngine, *mut c_void) -> i32,
    memory: unsafe extern "C" fn(*const NlEngine) -> i64,
    close: unsafe extern "C" fn(*mut NlEngine),
}

unsafe extern "C" {
    #[cfg(feature = "tensorrt")]
    static nl_tensorrt: NlApi;
    #[cfg(feature = "tensorrt-rtx")]
    static nl_tensorrt_rtx: NlApi;
}

/// None where this program was compiled without the library.
fn api(product: Product) -> Option<&'static NlApi> {
    match product {
        // SAFETY: a constant of the shim.
        #[cfg(feature = "tensorrt")]
        Product::Tensorrt => Some(unsafe { &nl_tensorrt }),
        // SAFETY: a constant of the shim.
        #[cfg(feature = "tensorrt-rtx")]
        Product::Rtx => Some(unsafe { &nl_tensorrt_rtx }),
        #[allow(unreachable_patterns)]
        _ => None,
    }
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
            5 => MATCH,
            6 => "build an engine",
            7 => "make a runtime",
            8 => LOAD,
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
    monitor: &'a BuildMonitor,
    stopping: Mutex<Option<Counted>>,
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

/// Builds that were told to stop, and those without a GPU. The one logger cannot tell whose words it hears.
static STOPPING: AtomicU32 = AtomicU32::new(0);
static WITHOUT_GPU: AtomicU32 = AtomicU32::new(0);

/// Whether an error of TensorRT is none: what it says of a build that was told to stop, or that has no GPU to ask.
fn is_expected(text: &str) -> bool {
    STOPPING.load(Ordering::Relaxed) > 0
        || (WITHOUT_GPU.load(Ordering::Relaxed) > 0 && text.contains("Cuda Runtime"))
}

/// Counts one while it lives.
struct Counted(&'static AtomicU32);

impl Counted {
    fn new(counter: &'static AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

extern "C" fn on_log(severity: i32, text: *const c_char) {
    // Its chatter is not even copied unless somebody listens.
    if severity > 3 && !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    // SAFETY: the shim passes TensorRT's text.
    let text = unsafe { owned(text) };
    match severity {
        0..=2 if is_expected(&text) => tracing::debug!(tensorrt = %text),
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
    let (hooks, phase) = unsafe { (&*user.cast::<Hooks<'_>>(), owned(phase)) };
    match event {
        0 => hooks.monitor.begin(phase, value, !parent.is_null()),
        1 => hooks.monitor.step(&phase, value),
        _ => hooks.monitor.end(&phase),
    }
    let stops = hooks.monitor.is_cancelled();
    if stops {
        // Before TensorRT hears of it, and until the build has ended.
        lock(&hooks.stopping).get_or_insert_with(|| Counted::new(&STOPPING));
    }
    i32::from(!stops)
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
    api: &'static NlApi,
    factories: NlFactories,
    /// `major.minor.patch`.
    pub version: String,
    /// Why the library has no builder or there is no parser library, where that is so.
    cannot_build: Option<String>,
    folder: Option<PathBuf>,
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
        static LOADED: [OnceLock<Libraries>; 2] = [const { OnceLock::new() }; 2];
        static LOADING: Mutex<()> = Mutex::new(());
        let slot = match product {
            Product::Tensorrt => &LOADED[0],
            Product::Rtx => &LOADED[1],
        };
        let _one_at_a_time = lock(&LOADING);
        if let Some(loaded) = slot.get() {
            return match folder {
                Some(_) if folder != loaded.folder.as_deref() => Err(TensorrtError::Library {
                    product,
                    name: stems(product).0.into(),
                    major: loaded.api.version / 10_000,
                    reason: "this process already uses another one".into(),
                }),
                _ => Ok(loaded),
            };
        }
        let libraries = Self::open(product, folder)?;
        Ok(slot.get_or_init(|| libraries))
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
        Ok(Self { api, factories, version: dotted(version), cannot_build, folder: folder.map(Into::into) })
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
        let hooks =
            Hooks { plan: Mutex::default(), timing: Mutex::default(), monitor, stopping: Mutex::default() };
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

/// Runtime, engine and execution context of one plan, with the memory of a frame.
pub struct Engine {
    api: &'static NlApi,
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
        let status = unsafe {
            (libraries.api.open)(&libraries.factories, on_log, &contract.raw(), plan.into(), &mut raw)
        };
        call.check(status)?;
        let raw = NonNull::new(raw).ok_or(TensorrtError::Step { step: LOAD, log: vec![] })?;
        let api = libraries.api;
        let engine = Self { api, raw, memory };
        let (input, output) = engine.memory.addresses()?;
        let call = Call::begin();
        // SAFETY: the engine and the contract's strings are alive; the memory holds a frame each, lives as long as
        // the engine and is never replaced.
        let status =
            unsafe { (api.bind)(raw.as_ptr(), &contract.raw(), input as *mut c_void, output as *mut c_void) };
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
        let status = unsafe { (self.api.enqueue)(self.raw.as_ptr(), stream.raw()) };
        call.check(status)?;
        self.memory.download(stream)
    }

    /// Device memory that the context takes for activations, in bytes.
    pub fn workspace(&self) -> u64 {
        // SAFETY: the engine is alive.
        unsafe { (self.api.memory)(self.raw.as_ptr()) }.max(0) as u64
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: made by `open` of the same shim, freed once.
        unsafe { (self.api.close)(self.raw.as_ptr()) };
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

//! The shim's ABI, as `shim.h` declares it.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use super::super::Product;
use crate::contract::{INPUT, OUTPUT, SHAPE};

pub type Factory = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
pub type ParserFactory = unsafe extern "C" fn(*mut c_void, *mut c_void, i32) -> *mut c_void;

pub type NlLog = extern "C" fn(i32, *const c_char);

#[repr(C)]
pub struct NlHooks {
    pub user: *mut c_void,
    pub progress: extern "C" fn(*mut c_void, i32, *const c_char, *const c_char, i32) -> i32,
    pub bytes: extern "C" fn(*mut c_void, i32, *const c_void, usize),
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct NlFactories {
    pub runtime: Factory,
    pub builder: Option<Factory>,
    pub parser: Option<ParserFactory>,
}

#[repr(C)]
pub struct NlContract {
    pub input: *const c_char,
    pub output: *const c_char,
    pub shape: [i64; 4],
}

#[repr(C)]
pub struct NlOptions {
    pub workspace: usize,
    pub level: i32,
    pub compute_capability: i32,
}

#[repr(C)]
pub struct NlBytes {
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
pub struct NlEngine {
    _opaque: [u8; 0],
}

/// The shim's functions, compiled against the headers of one library.
#[repr(C)]
pub struct NlApi {
    pub version: i32,
    pub build: unsafe extern "C" fn(
        *const NlFactories,
        NlLog,
        *const NlHooks,
        *const NlContract,
        *const NlOptions,
        NlBytes,
        NlBytes,
    ) -> i32,
    pub open: unsafe extern "C" fn(
        *const NlFactories,
        NlLog,
        *const NlContract,
        NlBytes,
        *mut *mut NlEngine,
    ) -> i32,
    pub bind: unsafe extern "C" fn(*mut NlEngine, *const NlContract, *mut c_void, *mut c_void) -> i32,
    pub enqueue: unsafe extern "C" fn(*mut NlEngine, *mut c_void) -> i32,
    pub memory: unsafe extern "C" fn(*const NlEngine) -> i64,
    pub close: unsafe extern "C" fn(*mut NlEngine),
}

unsafe extern "C" {
    #[cfg(feature = "tensorrt")]
    static nl_tensorrt: NlApi;
    #[cfg(feature = "tensorrt-rtx")]
    static nl_tensorrt_rtx: NlApi;
}

/// None where this program was compiled without the library.
pub fn api(product: Product) -> Option<&'static NlApi> {
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

/// The contract in C's words, with the strings it points to.
pub struct Contract {
    names: [CString; 2],
}

impl Contract {
    pub fn new() -> Self {
        // Constants without zero bytes.
        Self { names: [INPUT, OUTPUT].map(|name| CString::new(name).unwrap_or_default()) }
    }

    pub fn raw(&self) -> NlContract {
        NlContract { input: self.names[0].as_ptr(), output: self.names[1].as_ptr(), shape: SHAPE }
    }
}

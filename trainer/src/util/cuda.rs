//! libtorch's part for NVIDIA GPUs.
#![allow(unsafe_code, reason = "the C library's loader and environment; nothing else is in this file")]

use std::ffi::CStr;
use std::sync::OnceLock;

const DRIVER: &CStr = c"libcuda.so.1";
const PART: &CStr = c"libtorch_cuda.so";

/// Makes cuDNN and cuBLAS multiply 32-bit numbers as such. Without it they take 10 bits of mantissa (TF32) for fp32
/// convolutions, and `export` finds that ONNX Runtime computes other maps. To be called before other threads.
pub fn exact() {
    // SAFETY: no other thread runs yet that could read the environment.
    unsafe {
        std::env::set_var("NVIDIA_TF32_OVERRIDE", "0");
    }
}

/// Loads that part, where there is a driver; to be called before libtorch is asked for a GPU. It exports nothing that
/// this program calls, so that no linker takes it in, and it registers its kernels when it is loaded. That takes a
/// second or two and half a gigabyte, which a program that uses the CPU is spared.
///
/// # Errors
/// What is missing, in the loader's words.
pub fn load() -> Result<(), &'static str> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        open(DRIVER)?;
        open(PART)
    });
    loaded.as_ref().copied().map_err(String::as_str)
}

/// Loads a library for the rest of the process; this program's own library path counts.
fn open(library: &CStr) -> Result<(), String> {
    // SAFETY: the name ends in a zero byte, and both libraries are made to be loaded at any time.
    let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: dlerror(3) returns null or a text that stays until this thread's next call of the loader.
    let said = unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    Err(said.unwrap_or_else(|| format!("{} cannot be loaded", library.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_loaded_where_libtorch_has_one_and_what_is_missing_is_named() {
        let error = open(c"libtorch_none.so").unwrap_err();
        assert!(error.contains("libtorch_none.so"), "{error}");
        if open(PART).is_ok() {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
            assert!(maps.is_empty() || maps.contains("libtorch_cuda.so"));
        }
    }
}

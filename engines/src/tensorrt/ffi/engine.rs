//! A plan that runs.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use super::super::device::{Memory, Stream};
use super::abi::{Contract, NlApi, NlEngine};
use super::libraries::Libraries;
use super::log::{Call, on_log};
use crate::engine::{LOAD, TensorrtError};

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

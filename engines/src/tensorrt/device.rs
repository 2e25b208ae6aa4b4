//! The GPU through `cudarc`: device, stream, events, graph and memory. The driver is opened at run time.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUevent_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaEvent, CudaGraph, CudaStream, DriverError, result};

use crate::contract::{PIXELS, Plane};
use crate::engine::TensorrtError;
use crate::store::engines::Gpu;

/// CUDA 12.0: what the oldest TensorRT supported here asks for.
const OLDEST_DRIVER: i32 = 12_000;

/// Names the call that the driver refused.
fn refused(what: &'static str) -> impl Fn(DriverError) -> TensorrtError {
    move |error| {
        let name = match error.error_name() {
            Ok(name) => name.to_string_lossy().into_owned(),
            Err(_) => "an error without a name".into(),
        };
        TensorrtError::Cuda { what, name, code: error.0 as u32 }
    }
}

/// A GPU whose primary context, which TensorRT uses too, is alive.
#[derive(Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    /// What engines are bound to.
    pub gpu: Gpu,
    /// CPU and GPU share their memory, as on a Jetson.
    pub is_integrated: bool,
}

impl Device {
    /// Brings up the GPU with this ordinal.
    ///
    /// # Errors
    /// When there is no driver, it is too old, there is no such GPU, or it does not come up.
    pub fn open(ordinal: usize) -> Result<Self, TensorrtError> {
        // SAFETY: opens libcuda, whose initialisers ask nothing of their caller.
        if !unsafe { sys::is_culib_present() } {
            return Err(TensorrtError::NoDriver);
        }
        let mut version = 0;
        // SAFETY: writes one number; it may be called before `cuInit`.
        let asked = unsafe { sys::cuDriverGetVersion(&mut version) };
        asked.result().map_err(refused("report its version"))?;
        if version < OLDEST_DRIVER {
            let found = format!("{}.{}", version / 1000, version % 1000 / 10);
            return Err(TensorrtError::OldDriver { found });
        }
        match result::init() {
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return Err(TensorrtError::NoDevice { asked: ordinal, found: 0 });
            }
            other => other.map_err(refused("initialise"))?,
        }
        let found = CudaContext::device_count().map_err(refused("count its GPUs"))?.max(0) as usize;
        if ordinal >= found {
            return Err(TensorrtError::NoDevice { asked: ordinal, found });
        }
        let context = CudaContext::new(ordinal).map_err(refused("bring the GPU up"))?;
        // No slices of cudarc's are used; its events between streams would only cost.
        // SAFETY: there is one stream per engine, and all its memory is used there.
        unsafe { context.disable_event_tracking() };
        let describe = || -> Result<_, DriverError> {
            let (major, minor) = context.compute_capability()?;
            let multiprocessors = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
            let integrated = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)?;
            Ok((context.name()?, major, minor, multiprocessors, integrated))
        };
        let (name, major, minor, multiprocessors, integrated) =
            describe().map_err(refused("describe the GPU"))?;
        let cuda = format!("CUDA {}.{}", version / 1000, version % 1000 / 10);
        let gpu = Gpu {
            name,
            compute_capability: format!("{major}.{minor}"),
            multiprocessors: multiprocessors.max(0) as u32,
            driver: [cuda, release(Path::new("/"))].join(" ").trim().into(),
        };
        Ok(Self { context, gpu, is_integrated: integrated != 0 })
    }

    /// Makes this device's context the calling thread's.
    ///
    /// # Errors
    /// When an earlier call has failed for good, as after the device fell off.
    pub fn bind(&self) -> Result<(), TensorrtError> {
        self.context.bind_to_thread().map_err(refused("bind its context to a thread"))
    }

    /// Device memory in use by everybody, in bytes.
    ///
    /// # Errors
    /// When the driver does not report it.
    pub fn memory_used(&self) -> Result<u64, TensorrtError> {
        let (free, total) = self.context.mem_get_info().map_err(refused("report its free memory"))?;
        Ok(total.saturating_sub(free) as u64)
    }
}

/// The driver's release: of a Jetson's system, or of a GPU's kernel module. A Jetson has both, and its module keeps one
/// version (540.4.0) over the releases of JetPack 6, each of which brings its own libraries of the driver.
fn release(root: &Path) -> String {
    let first_line = |path: &str| {
        let text = fs::read_to_string(root.join(path)).ok()?;
        Some(text.lines().next()?.trim_start_matches('#').trim().to_owned())
    };
    first_line("etc/nv_tegra_release").or_else(|| first_line("sys/module/nvidia/version")).unwrap_or_default()
}

/// A stream with the two events that time a frame on it.
pub struct Stream {
    stream: Arc<CudaStream>,
    begin: CudaEvent,
    end: CudaEvent,
}

impl Stream {
    /// A stream of its own, which the default stream does not hold up.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn new(device: &Device) -> Result<Self, TensorrtError> {
        // The thread sleeps until a frame is done: a spinning one would keep a core from the video.
        let event = || device.context.new_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC));
        Ok(Self {
            stream: device.context.new_stream().map_err(refused("make a stream"))?,
            begin: event().map_err(refused("make an event"))?,
            end: event().map_err(refused("make an event"))?,
        })
    }

    /// CUDA's handle.
    pub fn raw(&self) -> *mut c_void {
        self.stream.cu_stream().cast()
    }

    /// Does `work` on the stream and waits for its end; returns the device's time in ms.
    ///
    /// # Errors
    /// What `work` says, and what the driver refused.
    pub fn time(&self, work: impl FnOnce() -> Result<(), TensorrtError>) -> Result<f32, TensorrtError> {
        self.begin.record(&self.stream).map_err(refused("record an event"))?;
        work()?;
        self.end.record(&self.stream).map_err(refused("record an event"))?;
        self.end.synchronize().map_err(refused("finish a frame"))?;
        self.begin.elapsed_ms(&self.end).map_err(refused("time a frame"))
    }

    /// Waits until nothing is left to do.
    ///
    /// # Errors
    /// When the work before has failed.
    pub fn synchronize(&self) -> Result<(), TensorrtError> {
        self.stream.synchronize().map_err(refused("finish its work"))
    }

    /// Records what `work` puts on the stream, without doing it. None where there is nothing to record.
    ///
    /// # Errors
    /// What `work` says, and what the driver refused; the stream is as before.
    pub fn capture(
        &self,
        work: impl FnOnce() -> Result<(), TensorrtError>,
    ) -> Result<Option<Graph>, TensorrtError> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(refused("begin a graph"))?;
        let done = work();
        // Ended in any case: a stream left capturing takes no work.
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0));
        done?;
        Ok(graph.map_err(refused("make a graph"))?.map(Graph))
    }
}

/// A frame's work as the driver replays it in one call.
pub struct Graph(CudaGraph);

// SAFETY: a graph may be used from any thread, one at a time; it is owned, never shared.
unsafe impl Send for Graph {}

impl Graph {
    /// Puts the recorded work on the stream it was recorded on.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn launch(&self) -> Result<(), TensorrtError> {
        self.0.launch().map_err(refused("launch a frame"))
    }
}

/// Input and output of a frame: pinned on the host, and on the GPU where that has memory of its own.
pub struct Memory {
    /// The crop, for the GPU to read.
    pub input: HostBuffer,
    /// The map, written by the GPU.
    pub output: HostBuffer,
    /// None where CPU and GPU share their memory: a copy would only cost time.
    copies: Option<[DeviceBuffer; 2]>,
}

impl Memory {
    /// Memory for one frame.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn new(device: &Device) -> Result<Self, TensorrtError> {
        device.bind()?;
        let copies = match device.is_integrated {
            true => None,
            false => Some([DeviceBuffer::new(device)?, DeviceBuffer::new(device)?]),
        };
        Ok(Self { input: HostBuffer::new(device)?, output: HostBuffer::new(device)?, copies })
    }

    /// Where the GPU finds input and output.
    ///
    /// # Errors
    /// When the GPU cannot reach pinned memory itself.
    pub fn addresses(&self) -> Result<(u64, u64), TensorrtError> {
        match &self.copies {
            Some([input, output]) => Ok((input.address, output.address)),
            None => Ok((self.input.mapped()?, self.output.mapped()?)),
        }
    }

    /// Puts the copy of the crop to the GPU on `stream`, where one is needed.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn upload(&self, stream: &Stream) -> Result<(), TensorrtError> {
        let Some([to, _]) = &self.copies else { return Ok(()) };
        // SAFETY: both are alive and of one length, and whoever owns them waits for the stream before he frees or
        // changes them.
        let copied =
            unsafe { result::memcpy_htod_async(to.address, self.input.bytes(), stream.stream.cu_stream()) };
        copied.map_err(refused("copy to the GPU"))
    }

    /// Puts the copy of the map from the GPU on `stream`, where one is needed.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn download(&mut self, stream: &Stream) -> Result<(), TensorrtError> {
        let Some([_, from]) = &self.copies else { return Ok(()) };
        // SAFETY: as for `upload`.
        let copied = unsafe {
            result::memcpy_dtoh_async(self.output.bytes_mut(), from.address, stream.stream.cu_stream())
        };
        copied.map_err(refused("copy from the GPU"))
    }
}

/// Host memory that stays where it is, so that the GPU can copy from it, or reach it itself.
pub struct HostBuffer {
    address: NonNull<Plane>,
    context: Arc<CudaContext>,
}

// SAFETY: it is plain memory, owned.
unsafe impl Send for HostBuffer {}

impl HostBuffer {
    fn new(device: &Device) -> Result<Self, TensorrtError> {
        let refused = refused("give pinned memory");
        // SAFETY: the context is bound; what is allocated is written before anything reads it.
        let address =
            unsafe { result::malloc_host(PIXELS, sys::CU_MEMHOSTALLOC_DEVICEMAP) }.map_err(&refused)?;
        let address = NonNull::new(address.cast::<Plane>())
            .ok_or_else(|| refused(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)))?;
        // SAFETY: a plane's bytes were allocated there.
        unsafe { address.write_bytes(0, 1) };
        Ok(Self { address, context: device.context.clone() })
    }

    /// Its bytes. The GPU must not be writing them: wait for the stream first.
    pub fn bytes(&self) -> &Plane {
        // SAFETY: allocated and initialised in `new`.
        unsafe { self.address.as_ref() }
    }

    /// Its bytes. The GPU must not be using them: wait for the stream first.
    pub fn bytes_mut(&mut self) -> &mut Plane {
        // SAFETY: as above, and `self` is borrowed for writing.
        unsafe { self.address.as_mut() }
    }

    fn mapped(&self) -> Result<u64, TensorrtError> {
        let mut address = 0;
        // SAFETY: allocated with CU_MEMHOSTALLOC_DEVICEMAP.
        let asked =
            unsafe { sys::cuMemHostGetDevicePointer_v2(&mut address, self.address.as_ptr().cast(), 0) };
        asked.result().map_err(refused("map pinned memory"))?;
        Ok(address)
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated in `new`, freed once; whoever owns it has waited for the stream.
        self.context.record_err(unsafe { result::free_host(self.address.as_ptr().cast()) });
    }
}

/// A plane in the GPU's own memory.
struct DeviceBuffer {
    address: u64,
    context: Arc<CudaContext>,
}

impl DeviceBuffer {
    fn new(device: &Device) -> Result<Self, TensorrtError> {
        // SAFETY: the context is bound; nothing reads the bytes before they are written.
        let address = unsafe { result::malloc_sync(PIXELS) }.map_err(refused("give device memory"))?;
        Ok(Self { address, context: device.context.clone() })
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated in `new`, freed once; whoever owns it has waited for the stream.
        self.context.record_err(unsafe { result::free_sync(self.address) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jetsons_release_is_its_systems_and_a_graphics_cards_its_modules() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(release(root.path()), "");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("sys/module/nvidia/version", "540.4.0\n");
        assert_eq!(release(root.path()), "540.4.0");
        put("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\nmore\n");
        assert_eq!(release(root.path()), "R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic");
    }
}

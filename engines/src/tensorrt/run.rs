use std::time::Duration;

use super::device::{Device, Graph, Memory, Stream};
use super::ffi::{self, Libraries};
use crate::contract::Plane;
use crate::engine::{Engine, EngineError, EngineInfo, TensorrtError};

/// One plan on one stream, all memory allocated once.
///
/// Fields are freed from the first to the last: the graph before the context whose kernels it replays, the stream
/// after both, the device's context last.
pub struct TensorrtEngine {
    graph: Option<Graph>,
    engine: ffi::Engine,
    stream: Stream,
    device: Device,
    info: EngineInfo,
    device_time: Option<Duration>,
}

impl TensorrtEngine {
    /// Loads a plan, runs one black frame, and records the work of a frame as a CUDA graph.
    ///
    /// # Errors
    /// When TensorRT refuses the plan, or the driver a buffer.
    pub fn new(
        device: Device,
        libraries: &Libraries,
        plan: &[u8],
        info: EngineInfo,
    ) -> Result<Self, TensorrtError> {
        device.bind()?;
        let memory = Memory::new(&device)?;
        let engine = ffi::Engine::open(libraries, plan, memory)?;
        let stream = Stream::new(&device)?;
        let mut this = Self { graph: None, engine, stream, device, info, device_time: None };
        // On its first call TensorRT allocates and chooses, which cannot be part of a graph.
        this.engine.enqueue(&this.stream)?;
        this.stream.synchronize()?;
        let Self { engine, stream, .. } = &mut this;
        match stream.capture(|| engine.enqueue(stream)) {
            Ok(graph) => this.graph = graph,
            Err(error) => tracing::warn!(%error, "no CUDA graph of this engine; each frame is enqueued anew"),
        }
        tracing::debug!(workspace = this.engine.workspace(), graph = this.graph.is_some(), "plan loaded");
        Ok(this)
    }

    fn compute(&mut self) -> Result<f32, TensorrtError> {
        self.device.bind()?;
        let Self { graph, engine, stream, .. } = self;
        let timed = stream.time(|| match graph {
            Some(graph) => graph.launch(),
            None => engine.enqueue(stream),
        });
        // Whatever was begun must be over before the memory is touched again. TensorRT says only that a frame failed; the
        // driver knows whether the device can go on.
        timed.map_err(|error| match stream.synchronize() {
            Err(lost) if lost.is_device_lost() => lost,
            _ => error,
        })
    }
}

impl Engine for TensorrtEngine {
    fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError> {
        self.engine.memory.input.bytes_mut().copy_from_slice(crop);
        let ms = self.compute()?;
        self.device_time = Some(Duration::from_secs_f32(ms.max(0.0) / 1000.0));
        map.copy_from_slice(self.engine.memory.output.bytes());
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn device_time(&self) -> Option<Duration> {
        self.device_time
    }

    fn device_memory(&self) -> Option<u64> {
        if self.device.is_integrated { None } else { self.device.memory_used().ok() }
    }
}

impl Drop for TensorrtEngine {
    /// Nothing may be freed while the device is at work with it.
    fn drop(&mut self) {
        if let Err(error) = self.device.bind().and_then(|()| self.stream.synchronize()) {
            tracing::warn!(%error, "an engine is freed on a device that has failed");
        }
    }
}

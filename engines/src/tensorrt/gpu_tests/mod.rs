//! What only an NVIDIA GPU can show: `make gpu`.
#![allow(clippy::print_stdout, clippy::unwrap_used, unsafe_code)]

mod fault;
#[cfg(feature = "tensorrt-rtx")]
mod rtx;

use std::ffi::{CStr, c_void};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use cudarc::driver::{result, sys};
use cudarc::nvrtc;

use super::device::{Device, Memory, Stream};
use super::ffi::Libraries;
use super::run::TensorrtEngine;
use super::{Product, TensorrtError};
use crate::contract::{self, PIXELS, Plane, plane};
use crate::engine::{Backend, Engine, EngineInfo, EngineSettings, Precision, Provider};
use crate::{Bundle, golden, open};

/// Launches of one captured graph.
const REPLAYS: usize = 100;
/// Frames that an engine is timed on.
const TIMED: usize = 50;

const INVERT: &str = r#"
extern "C" __global__ void invert(const unsigned char *crop, unsigned char *map, unsigned int length) {
    unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < length) map[i] = 255 - crop[i];
}
"#;

fn gpu() -> Device {
    Device::open(0).unwrap_or_else(|error| panic!("no GPU was found, and this test needs one: {error}"))
}

/// Compiles and loads a kernel; it stays loaded until the process ends.
fn load(device: &Device, source: &str, name: &CStr) -> sys::CUfunction {
    device.bind().unwrap();
    // SAFETY: opens NVRTC, whose initialisers ask nothing of their caller.
    let is_there = unsafe { nvrtc::sys::is_culib_present() };
    assert!(
        is_there,
        "neither libnvrtc.so nor libnvrtc.so.12 can be opened: `apt-get install cuda-nvrtc-dev-12-6` (or your \
         CUDA's version), or `pip install nvidia-cuda-nvrtc-cu12`; name the folder in LD_LIBRARY_PATH"
    );
    let ptx = nvrtc::compile_ptx(source).unwrap();
    // SAFETY: the context is bound, and the text is PTX with a zero byte at its end.
    unsafe {
        let module = result::module::load_data(ptx.as_bytes().unwrap().as_ptr().cast()).unwrap();
        result::module::get_function(module, name.into()).unwrap()
    }
}

fn demo() -> Bundle {
    Bundle::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo.bundle")).unwrap()
}

/// The demo model in ONNX Runtime's CUDA provider.
fn onnx_on_cuda(bundle: &Bundle) -> Box<dyn Engine> {
    let settings = EngineSettings { backend: Backend::Onnx, provider: Provider::Cuda, ..Default::default() };
    open(bundle, &settings).unwrap_or_else(|error| {
        panic!(
            "{error}\nThis test needs an ONNX Runtime with CUDA: `pip install onnxruntime-gpu[cuda,cudnn]`, name \
             its libonnxruntime.so.* in ORT_DYLIB_PATH and the folders of CUDA's and cuDNN's libraries in \
             LD_LIBRARY_PATH"
        )
    })
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_graph_that_was_captured_once_computes_each_new_frame() {
    let mut device = gpu();
    let kernel = load(&device, INVERT, c"invert");
    // Every GPU can reach pinned memory by itself, so that both ways are tried on whichever is there.
    for mapped in [false, true] {
        device.is_integrated = mapped;
        let mut memory = Memory::new(&device).unwrap();
        let stream = Stream::new(&device).unwrap();
        let (crop, map) = memory.addresses().unwrap();
        let enqueue = |memory: &mut Memory| -> Result<(), TensorrtError> {
            memory.upload(&stream)?;
            let length = PIXELS as u32;
            let mut arguments: [*mut c_void; 3] =
                [(&raw const crop) as _, (&raw const map) as _, (&raw const length) as _];
            let grid = (length.div_ceil(256), 1, 1);
            // SAFETY: the arguments are those of `invert`, and both planes have `length` bytes.
            let launched = unsafe {
                result::launch_kernel(kernel, grid, (256, 1, 1), 0, stream.raw().cast(), &mut arguments)
            };
            launched.unwrap();
            memory.download(&stream)
        };
        enqueue(&mut memory).unwrap();
        stream.synchronize().unwrap();
        let graph = stream.capture(|| enqueue(&mut memory)).unwrap().unwrap();

        // On another thread than the one that captured it, as in the daemon.
        let (memory, stream, device) = (&mut memory, &stream, &device);
        let replay = move || {
            device.bind().unwrap();
            let mut times = Vec::with_capacity(REPLAYS);
            for frame in 0..REPLAYS {
                let shade = |i: usize| (i % 251 + i / 576 + frame * 7) as u8;
                memory.input.bytes_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = shade(i));
                // What a graph that wrote nothing would leave.
                memory.output.bytes_mut().fill(frame as u8);
                let ms = stream.time(|| graph.launch()).unwrap();
                assert!(ms > 0.0, "frame {frame} took {ms} ms");
                times.push(Duration::from_secs_f32(ms / 1000.0));
                let wrong = (0..PIXELS).find(|&i| memory.output.bytes()[i] != 255 - shade(i));
                assert_eq!(wrong, None, "frame {frame}, mapped: {mapped}: the first wrong byte");
            }
            times
        };
        let mut times = thread::scope(|scope| scope.spawn(replay).join().unwrap());
        println!("{}, mapped: {mapped}: {:?} a frame by its events", device.gpu.name, median(&mut times));
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn onnx_runtime_computes_on_the_gpu_what_it_does_on_the_cpu() {
    gpu();
    let bundle = demo();
    let mut cuda = onnx_on_cuda(&bundle);
    let settings = EngineSettings { backend: Backend::Onnx, provider: Provider::Cpu, ..Default::default() };
    let mut cpu = open(&bundle, &settings).unwrap();
    for frame in bundle.golden().unwrap() {
        let (expected, cpu_time) = timed(cpu.as_mut(), &frame.crop);
        let (found, cuda_time) = timed(cuda.as_mut(), &frame.crop);
        let apart = || found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b));
        let (differing, most) = (apart().filter(|&d| d > 0).count(), apart().max().unwrap());
        let dice = contract::dice(&found[..], &expected[..], bundle.manifest.threshold_byte());
        println!(
            "{}: Dice {dice:.4}, {differing} of {PIXELS} bytes differ, by {most} at most; CPU {cpu_time:?}, CUDA \
             {cuda_time:?}",
            frame.name
        );
        assert!(dice >= golden::min_dice(Precision::Fp32), "{}: Dice {dice}", frame.name);
    }
    // And what the trainer computed.
    println!("{:?}", golden::check(cuda.as_mut(), &bundle).unwrap());
}

/// The map of a crop, and the time it takes.
fn timed(engine: &mut dyn Engine, crop: &Plane) -> (Box<Plane>, Duration) {
    let mut map = plane();
    engine.infer(crop, &mut map).unwrap();
    let mut times = [Duration::ZERO; TIMED];
    for time in &mut times {
        let begun = Instant::now();
        engine.infer(crop, &mut map).unwrap();
        *time = begun.elapsed();
    }
    (map, median(&mut times))
}

/// Any TensorRT will do, the one without a builder too.
#[test]
#[ignore = "needs an NVIDIA GPU"]
fn tensorrt_refuses_garbage_and_the_gpu_goes_on() {
    let device = gpu();
    let libraries = Libraries::load(Product::Tensorrt, None).unwrap();
    for plan in [&[][..], b"garbage", &[0x5a; 4096]] {
        let info = EngineInfo {
            runtime: format!("TensorRT {}", libraries.version),
            provider: device.gpu.name.clone(),
            precision: Precision::Fp16,
            threads: 0,
            model: "garbage".into(),
            digest: String::new(),
        };
        let error = TensorrtEngine::new(device.clone(), libraries, plan, info).err().unwrap();
        println!("{error}");
        assert!(
            matches!(&error, TensorrtError::Step { step: "load the plan", log } if !log.is_empty()),
            "{error}"
        );
        assert!(device.memory_used().unwrap() > 0, "the GPU still answers");
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

//! A kernel that faults: the error that stays, as the driver really gives it. Each test is a process of its own, which
//! the fault leaves without a GPU.

use std::env;
use std::ffi::c_void;
use std::process::Command;

use cudarc::driver::result;

use super::{demo, gpu, load, onnx_on_cuda};
use crate::contract::plane;
use crate::engine::TensorrtError;
use crate::tensorrt::device::{Device, Memory, Stream};

/// Set to the test's name in the process that faults.
const FAULTS: &str = "NERVELIGHT_TEST_FAULTS";

const FAULT: &str = r#"
extern "C" __global__ void fault(unsigned char *map) { map[threadIdx.x] = 1; }
"#;

/// Runs `body` in a process of its own, which must end well.
fn apart(test: &str, body: impl FnOnce()) {
    if env::var_os(FAULTS).is_some_and(|name| name == test) {
        return body();
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", &format!("{module}::{test}"), "--ignored", "--nocapture"]).env(FAULTS, test);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{}", output.status);
    // The next process has its GPU.
    assert!(gpu().memory_used().unwrap() > 0);
}

/// Writes where no memory is, on a stream of its own.
fn fault(device: &Device) -> Result<f32, TensorrtError> {
    let kernel = load(device, FAULT, c"fault");
    let stream = Stream::new(device)?;
    let nowhere = 16u64;
    stream.time(|| {
        let mut arguments: [*mut c_void; 1] = [(&raw const nowhere) as _];
        // SAFETY: the argument is the kernel's; that it faults is what is wanted.
        let launched = unsafe {
            result::launch_kernel(kernel, (1, 1, 1), (32, 1, 1), 0, stream.raw().cast(), &mut arguments)
        };
        launched.unwrap();
        Ok(())
    })
}

fn is_lost<T>(what: &str, done: Result<T, TensorrtError>) {
    let error = done.err().unwrap_or_else(|| panic!("{what}: no error"));
    println!("{what}: {error}");
    assert!(error.is_device_lost(), "{what}: {error}");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_kernel_that_faults_costs_the_process_its_gpu_and_no_other() {
    apart("a_kernel_that_faults_costs_the_process_its_gpu_and_no_other", || {
        let device = gpu();
        let memory = Memory::new(&device).unwrap();
        let stream = Stream::new(&device).unwrap();
        stream.time(|| memory.upload(&stream)).unwrap();
        is_lost("the frame that faults", fault(&device));
        is_lost("the next frame", stream.time(|| memory.upload(&stream)));
        is_lost("waiting", stream.synchronize());
        is_lost("asking for the memory in use", device.memory_used());
        is_lost("new memory", Memory::new(&device));
        is_lost("a graph", stream.capture(|| memory.upload(&stream)));
        is_lost("opening the GPU again", Device::open(0).and_then(|device| Memory::new(&device)));
    });
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn onnx_runtime_on_a_gpu_that_is_lost_says_so() {
    apart("onnx_runtime_on_a_gpu_that_is_lost_says_so", || {
        let device = gpu();
        let bundle = demo();
        let mut engine = onnx_on_cuda(&bundle);
        let (crop, mut map) = (plane(), plane());
        engine.infer(&crop, &mut map).unwrap();
        is_lost("the fault", fault(&device));
        let error = engine.infer(&crop, &mut map).err().unwrap();
        println!("the next frame: {error}");
        assert!(error.is_device_lost(), "{error}");
    });
}

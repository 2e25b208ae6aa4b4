//! The OpenVINO engine: the fastest on x86 processors, in every precision that was measured.
//!
//! The library is opened at run time, like ONNX Runtime's; it reads the same ONNX files. See
//! <https://docs.openvino.ai/>.

use std::path::{Path, PathBuf};

use openvino::{
    Core, DeviceType, ElementType, InferRequest, InferenceError, Node, RwPropertyKey, Shape, Tensor,
};

use crate::bundle::Bundle;
use crate::contract::{INPUT, OUTPUT, Plane, SHAPE};
pub use crate::engine::OpenvinoSettings;
use crate::engine::{Engine, EngineError, EngineInfo, EngineSettings, Precision};
use crate::library::{self, Once, threads};

const NAME: &str = "OpenVINO";
/// The C API, by the name that `setup.sh` gives it.
const FILE: &str = "libopenvino_c.so";
const INSTALL: &str = "Install it (`pip install openvino`) and set engine.openvino.library, or OPENVINO_DYLIB_PATH, to \
                       its libopenvino_c.so";

/// A compiled model with its input and output tensors, allocated once.
pub struct OpenvinoEngine {
    request: InferRequest,
    frame: Tensor,
    map: Tensor,
    info: EngineInfo,
}

impl OpenvinoEngine {
    /// Loads the library if it is not loaded yet, and compiles the bundle's model of the asked precision.
    ///
    /// # Errors
    /// See [`EngineError`]: each names what is missing and what to do.
    pub fn open(bundle: &Bundle, settings: &EngineSettings) -> Result<Self, EngineError> {
        let version = load(settings.openvino.library.as_deref())?;
        let file = settings.precision.onnx_file();
        let model = bundle.model_file(file)?;
        let threads = threads(settings.threads);
        let fail = |e: InferenceError| EngineError::Model { model: file.into(), reason: e.to_string() };

        let mut core =
            Core::new().map_err(|e| EngineError::Model { model: file.into(), reason: e.to_string() })?;
        let model = core.read_model_from_buffer(&model, None).map_err(fail)?;
        let inputs = (0..model.get_inputs_len().map_err(fail)?).map(|i| model.get_input_by_index(i));
        check_ports(file, "input", inputs, INPUT)?;
        let outputs = (0..model.get_outputs_len().map_err(fail)?).map(|i| model.get_output_by_index(i));
        check_ports(file, "output", outputs, OUTPUT)?;

        let number = number(settings.precision);
        let count = threads.to_string();
        let properties = [
            (RwPropertyKey::HintPerformanceMode, "LATENCY"),
            (RwPropertyKey::InferenceNumThreads, count.as_str()),
            (RwPropertyKey::HintInferencePrecision, number),
            // A pinned thread would wait for its core while the thread that shows the video has it.
            (RwPropertyKey::HintEnableCpuPinning, "NO"),
        ];
        core.set_properties(&DeviceType::CPU, properties).map_err(fail)?;
        let mut compiled = core.compile_model(&model, DeviceType::CPU).map_err(fail)?;
        // What the processor has no instructions for is computed in 32 bits.
        let taken =
            compiled.get_property(&RwPropertyKey::HintInferencePrecision.into()).map_err(fail)?.to_string();
        let mut request = compiled.create_infer_request().map_err(fail)?;
        let shape = Shape::new(&SHAPE).map_err(fail)?;
        let frame = Tensor::new(ElementType::U8, &shape).map_err(fail)?;
        let map = Tensor::new(ElementType::U8, &shape).map_err(fail)?;
        request.set_input_tensor(&frame).map_err(fail)?;
        request.set_output_tensor(&map).map_err(fail)?;
        let info = EngineInfo {
            runtime: format!("{NAME} {version}"),
            provider: format!("CPU, {taken}"),
            precision: settings.precision,
            threads,
            model: bundle.model(),
            digest: bundle.digest.clone(),
        };
        Ok(Self { request, frame, map, info })
    }
}

impl Engine for OpenvinoEngine {
    fn infer(&mut self, crop: &Plane, map: &mut Plane) -> Result<(), EngineError> {
        let fail = |e: InferenceError| EngineError::Infer(e.to_string());
        self.frame.get_raw_data_mut().map_err(fail)?.copy_from_slice(crop);
        self.request.infer().map_err(fail)?;
        map.copy_from_slice(self.map.get_raw_data().map_err(fail)?);
        Ok(())
    }

    fn info(&self) -> &EngineInfo {
        &self.info
    }
}

/// The type of number to compute floats in. Half precision is the processor's own, bfloat16 where it has that. So are
/// the few floats around integers: the maps stay as they are, in 6 % less time.
fn number(precision: Precision) -> &'static str {
    match precision {
        Precision::Fp32 => "f32",
        Precision::Fp16 | Precision::Int8 => "bf16",
    }
}

fn check_ports(
    file: &str,
    what: &'static str,
    ports: impl Iterator<Item = Result<Node, InferenceError>>,
    name: &str,
) -> Result<(), EngineError> {
    let describe = |port: Result<Node, InferenceError>| -> Result<_, InferenceError> {
        let port = port?;
        Ok((port.get_name()?, port.get_element_type()?, port.get_shape()?.get_dimensions().to_vec()))
    };
    let found = ports.map(describe).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|e| EngineError::Model { model: file.into(), reason: e.to_string() })?;
    if let [(found, ElementType::U8, shape)] = &found[..]
        && found == name
        && shape[..] == SHAPE
    {
        return Ok(());
    }
    let list: Vec<_> = found.iter().map(|(name, kind, shape)| format!("{name} {kind} {shape:?}")).collect();
    Err(EngineError::Contract {
        model: file.into(),
        what,
        found: list.join(" and "),
        expected: format!("{name} uint8 {SHAPE:?}"),
    })
}

/// Finds `libopenvino_c.so`: the configured path, `OPENVINO_DYLIB_PATH`, then the [usual places](library::find).
///
/// # Errors
/// [`EngineError::LibraryNotFound`] with every place looked at.
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, EngineError> {
    library::find(FILE, "OPENVINO_DYLIB_PATH", configured).map_err(|searched| EngineError::LibraryNotFound {
        runtime: NAME,
        searched,
        install: INSTALL,
    })
}

/// Loads the library, and returns its version.
fn load(configured: Option<&Path>) -> Result<&'static str, EngineError> {
    static VERSION: Once<String> = Once::new();
    let fail = |path: &Path, reason: String| EngineError::Library {
        runtime: NAME,
        path: path.into(),
        reason,
        oldest: "2025.1",
    };
    let load = || {
        let path = find_library(configured)?;
        if let Err(reason) = library::has_symbol(&path, b"ov_get_openvino_version\0") {
            return Err(fail(&path, reason));
        }
        openvino_sys::library::load_from(&path).map_err(|reason| fail(&path, reason))?;
        let build = openvino::version().build_number;
        // `2026.4.1-21919-...`
        let version = build.split('-').next().unwrap_or_default().to_owned();
        Ok((Some(path), version))
    };
    let refuse = |loaded: Option<&Path>| fail(configured.unwrap_or(Path::new(NAME)), library::in_use(loaded));
    VERSION.get(configured, load, refuse).map(String::as_str)
}

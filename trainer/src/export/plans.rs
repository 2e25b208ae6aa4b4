//! What NVIDIA's own parser and builder make of exported models: TensorRT for RTX builds without a GPU. TensorRT itself may
//! choose other kernels; a fusion that is lost here is a reason to look there.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nervelight_engines::bundle::{Draft, Manifest};
use nervelight_engines::tensorrt::{TensorrtSettings, build_ahead};
use nervelight_engines::{Backend, BuildMonitor, Bundle, EngineSettings, Precision};

use crate::export::onnx::{Outputs, Style, half, int8, model};
use crate::net::Network;
use crate::net::fuse;
use crate::weights::random;

const SIZE: (usize, usize) = (416, 576);
/// GPUs of GeForce RTX 30.
const TARGET: &str = "8.6";

/// What the builder said.
static SAID: Mutex<Vec<u8>> = Mutex::new(vec![]);

struct Said;

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Models with random weights, one a file of a bundle: nothing of a plan's structure depends on them.
struct Exported {
    folder: tempfile::TempDir,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl Exported {
    fn new(network: &Network) -> Self {
        let start = random(network).parameters;
        let (fused, parameters) = fuse(network, &start).unwrap();
        let thresholds = fused.layers.iter().map(|layer| (layer.name.clone(), 4.0)).collect();
        let none = BTreeSet::new();
        let int8 = |style| int8(&fused, &parameters, SIZE, &thresholds, &style).unwrap();
        let files = BTreeMap::from([
            ("fp32.onnx", model(network, &start, SIZE, Outputs::Map).unwrap()),
            ("fp16.onnx", half(&fused, &parameters, SIZE, &none).unwrap()),
            ("int8-trt.onnx", int8(Style::TensorRt { full: none.clone() })),
            ("int8-cpu.onnx", int8(Style::Cpu)),
        ]);
        Self { folder: tempfile::tempdir().unwrap(), files }
    }

    /// A bundle with the model of `file` under the name of `precision`.
    fn bundle(&self, file: &str, precision: Precision) -> Bundle {
        let mut draft = Draft::new(Manifest::new("plans", "1"));
        draft.file(precision.tensorrt_file(), self.files[file].clone());
        draft.write(&self.folder.path().join(format!("{file}.bundle"))).unwrap()
    }

    /// What the builder says of the plan that it makes of `file`, or why it makes none.
    fn build(&self, file: &str, precision: Precision) -> Result<String, String> {
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(|| Said)
            .try_init();
        let settings = EngineSettings {
            backend: Backend::TensorrtRtx,
            precision,
            tensorrt: TensorrtSettings {
                library: Some(fetched()),
                store: Some(self.folder.path().join("engines")),
                ..Default::default()
            },
            ..Default::default()
        };
        SAID.lock().unwrap().clear();
        let built =
            build_ahead(&self.bundle(file, precision), &settings, TARGET, false, &BuildMonitor::default());
        let said = String::from_utf8_lossy(&SAID.lock().unwrap()).into_owned();
        match built {
            Ok(ahead) => {
                assert!(!ahead.was_built);
                Ok(said)
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The libraries that `setup.sh test` fetched.
fn fetched() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap();
    let folder = cache.join("nervelight/tensorrt/rtx");
    assert!(folder.is_dir(), "{} is missing: run ./setup.sh test", folder.display());
    folder
}

/// Kernels of a plan by kind, those that only copy or reformat as `move`.
fn kernels(said: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with("Name: ")) {
        let word = |key: &str| line.split_once(key)?.1.split(',').next();
        let (Some(name), Some(kind)) = (word("Name: "), word("LayerType: ")) else { continue };
        let is_move = name.starts_with("__myl_Move") || kind.to_lowercase().contains("reformat");
        *kinds.entry(if is_move { "move".into() } else { kind.to_owned() }).or_default() += 1;
    }
    kinds
}

/// Builds every precision of a network, and looks for the fusions of the fp16 plan.
fn plans(network: &Network, fp16: &[(&str, usize)]) {
    let exported = Exported::new(network);
    for (file, precision) in
        [("fp32.onnx", Precision::Fp32), ("fp16.onnx", Precision::Fp16), ("int8-trt.onnx", Precision::Int8)]
    {
        let said = exported.build(file, precision).unwrap();
        for tensor in [
            "Name: frame, IOMode: Input, DataType: UInt8, Dimensions: [1,1,416,576]",
            "Name: nerve, IOMode: Output, DataType: UInt8, Dimensions: [1,1,416,576]",
        ] {
            assert!(said.contains(tensor), "{file} has no {tensor}");
        }
        let found = kernels(&said);
        if precision == Precision::Fp16 {
            let expected = fp16.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
            assert_eq!(found, expected, "a fusion was lost, or won");
        }
    }
    let refused = exported.build("int8-cpu.onnx", Precision::Int8).unwrap_err();
    assert!(refused.contains("TensorRT failed to parse the model"), "{refused}");
    assert!(refused.contains("UINT8"), "{refused}");
}

// One kernel for the bytes of the frame, one for the bytes of the map, one for each convolution with its ReLU and for each
// pooling, and one copy into each concatenation.
const FCN: [(&str, usize); 5] =
    [("correlation", 13), ("deconv", 3), ("kgen", 2), ("maxpool", 5), ("move", 2)];
const UNET: [(&str, usize); 5] =
    [("correlation", 24), ("deconv", 5), ("kgen", 2), ("maxpool", 5), ("move", 5)];

#[test]
fn of_a_narrow_fcn() {
    plans(&Network::vgg16_fcn(0.25), &FCN);
}

#[test]
fn of_a_wide_fcn() {
    plans(&Network::vgg16_fcn(1.0), &FCN);
}

#[test]
fn of_a_narrow_unet() {
    plans(&Network::vgg16_unet(0.25), &UNET);
}

#[test]
fn of_a_wide_unet() {
    plans(&Network::vgg16_unet(1.0), &UNET);
}

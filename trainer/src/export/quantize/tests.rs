use std::collections::{BTreeMap, BTreeSet};

use nervelight_engines::bundle::Manifest;
use nervelight_engines::golden::Golden;
use nervelight_engines::{
    Backend, Engine, EngineError, EngineInfo, EngineSettings, PIXELS, Plane, plane, processor,
};
use tch::{Device, Kind, Tensor};

use super::histogram::Method;
use super::*;
use crate::data::batch;
use crate::evaluate::Reference;
use crate::evaluate::checked_engine::{self, CheckedEngine};
use crate::export::onnx::{at_risk, half, int8};
use crate::net::{Layer, Op};
use crate::util::Rng;
use crate::weights::random;

const SIZE: (usize, usize) = (416, 576);

/// The map of one crop in the reference runtime, or none where there is no ONNX Runtime.
fn map(model: Vec<u8>, crop: &Plane) -> Option<Box<Plane>> {
    let mut draft = Draft::new(Manifest::new("test", "1"));
    draft.file("fp32.onnx", model);
    let directory = tempfile::tempdir().unwrap();
    let bundle = draft.write(&directory.path().join("test.bundle")).unwrap();
    let settings = EngineSettings { backend: Backend::Onnx, ..Default::default() };
    let mut engine = match nervelight_engines::open(&bundle, &settings) {
        Err(error @ EngineError::LibraryNotFound { .. }) => {
            eprintln!("skipped: {error}");
            return None;
        }
        engine => engine.unwrap(),
    };
    let mut map = plane();
    engine.infer(crop, &mut map).unwrap();
    Some(map)
}

/// Whatever kernels this processor gets wrong. OpenVINO up to 2026.4 is 34 off with TensorRT's file of this network on
/// AMD's Zen 5, where a transposed convolution takes signed integers; it is right on Intel's processors with AMX.
fn a_right_engine_is_found(model: Vec<u8>, crop: &Plane, wanted: &Plane) {
    let mut draft = Draft::new(Manifest::new("test", "1"));
    draft.file("int8-cpu.onnx", model);
    let directory = tempfile::tempdir().unwrap();
    let bundle = draft.write(&directory.path().join("test.bundle")).unwrap();
    let settings = EngineSettings { precision: Precision::Int8, ..Default::default() };
    let golden = |crop: &Plane| {
        let (mut copy, map) = (plane(), plane());
        copy.copy_from_slice(crop);
        Golden { name: String::new(), crop: copy, map }
    };
    let CheckedEngine { mut engine, wrong, .. } =
        checked_engine::open(&bundle, &settings, &[golden(crop)]).unwrap();
    let mut found = plane();
    engine.infer(crop, &mut found).unwrap();
    eprintln!("{}, after {wrong:?}", engine.info().runtime);
    assert!(checked_engine::mean_difference(wanted, &found) < 6.0);
    assert!(wrong.iter().all(|wrong| wrong.contains(&processor::name())), "{wrong:?}");
}

/// What the file says.
fn arithmetic(model: Vec<u8>, crop: &Plane) -> Box<Plane> {
    let info = EngineInfo {
        runtime: String::new(),
        provider: String::new(),
        precision: Precision::Fp32,
        threads: 1,
        model: String::new(),
        digest: String::new(),
    };
    let mut map = plane();
    Reference::read(&model, info).unwrap().infer(crop, &mut map).unwrap();
    map
}

fn frames(count: u64) -> Vec<Frame> {
    let frame = |i| {
        let mut rng = Rng::new(&[7, i]);
        let luma: Vec<u8> = (0..PIXELS).map(|p| (rng.below(128) + p % 128) as u8).collect();
        Frame { name: i.to_string(), patient: i as u32, luma: luma.into(), nerve: vec![0; PIXELS].into() }
    };
    (0..count).map(frame).collect()
}

fn crop(frame: &Frame) -> Box<Plane> {
    let mut crop = plane();
    crop.copy_from_slice(&frame.luma);
    crop
}

/// A network with random weights whose logits spread by about 2.
fn module(network: Network, frame: &Frame) -> Module {
    tch::manual_seed(1);
    let (network, mut parameters) = fuse(&network, &random(&network).parameters).unwrap();
    let last = network.layers[network.layers.len() - 2].name.clone();
    let module = |parameters: Parameters| {
        Module::new(network.clone(), parameters, 0, net::NumberFormat::Fp32, Device::Cpu)
    };
    let logits = tch::no_grad(|| {
        let copied = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.copy())).collect();
        module(copied).logits(&batch(&[frame], SIZE, None, Device::Cpu).crops)
    });
    let factor = 2.0 / logits.std(true).double_value(&[]);
    let weight = parameters[&format!("{last}.weight")].copy() * factor;
    let mean = Tensor::from(logits.mean(Kind::Float).double_value(&[]) as f32);
    let bias = (parameters[&format!("{last}.bias")].copy() - mean) * factor;
    parameters.insert(format!("{last}.weight"), weight);
    parameters.insert(format!("{last}.bias"), bias);
    module(parameters)
}

/// Mean difference of bytes from the network's own map.
fn off(module: &Module, frame: &Frame, map: &Plane) -> f64 {
    let probability = module.predict(&batch(&[frame], SIZE, None, Device::Cpu).crops);
    let wanted = Vec::<f32>::try_from((probability * 255.0).round().flatten(0, -1)).unwrap();
    wanted.iter().zip(map.iter()).map(|(a, b)| f64::from((a - f32::from(*b)).abs())).sum::<f64>()
        / PIXELS as f64
}

#[test]
fn integers_compute_nearly_the_same_map_in_both_styles() {
    let frames = frames(3);
    for network in [Network::vgg16_fcn(0.125), Network::vgg16_unet(0.125)] {
        let name = network.name;
        let module = module(network, &frames[0]);
        let calibration = Calibration::of(&module, &frames.iter().collect::<Vec<_>>(), SIZE).unwrap();
        for style in [Style::Cpu, Style::TensorRt { full: BTreeSet::new() }] {
            let thresholds = calibration.thresholds(&module.network, Method::Max, &style);
            let model = int8(&module.network, &module.parameters, SIZE, &thresholds, &style).unwrap();
            let Some(map) = map(model.clone(), &crop(&frames[0])) else { return };
            let values: BTreeSet<u8> = map.iter().copied().collect();
            assert!(values.len() > 20, "{name} {style:?}: a flat map proves nothing: {values:?}");
            let off = off(&module, &frames[0], &map);
            eprintln!("{name} {style:?}: {off}");
            assert!(off < 8.0, "{name} {style:?}: {off}");
            let own = arithmetic(model.clone(), &crop(&frames[0]));
            let apart = checked_engine::mean_difference(&own, &map);
            eprintln!("{name} {style:?}: {apart} from the file's own arithmetic");
            assert!(apart < 4.0, "{name} {style:?}: {apart} from the file's own arithmetic");
            a_right_engine_is_found(model, &crop(&frames[0]), &own);
        }
        let model = half(&module.network, &module.parameters, SIZE, &BTreeSet::new()).unwrap();
        let Some(map) = map(model.clone(), &crop(&frames[0])) else { return };
        let off = off(&module, &frames[0], &map);
        assert!(off < 0.5, "{name} in half precision: {off}");
        let apart = checked_engine::mean_difference(&arithmetic(model, &crop(&frames[0])), &map);
        assert!(apart < 0.5, "{name} in half precision: {apart} from the file's own arithmetic");
    }
}

#[test]
fn zeros_around_the_frame_are_zeros_to_the_integers() {
    let layer = |name: &str, op| Layer { name: name.into(), op };
    let network = Network {
        name: "border",
        width: 1.0,
        layers: vec![
            layer("conv", Op::Conv { inputs: 1, outputs: 1, kernel: 3, padding: 1 }),
            layer("relu", Op::Relu),
            layer("logits", Op::Conv { inputs: 1, outputs: 1, kernel: 1, padding: 0 }),
            layer("probability", Op::Sigmoid),
        ],
    };
    let float = (Kind::Float, Device::Cpu);
    let parameters = Parameters::from([
        ("conv.weight".to_owned(), Tensor::ones([1, 1, 3, 3], float)),
        ("conv.bias".to_owned(), Tensor::zeros([1], float)),
        ("logits.weight".to_owned(), Tensor::full([1, 1, 1, 1], 100.0, float)),
        ("logits.bias".to_owned(), Tensor::zeros([1], float)),
    ]);
    // Half a byte above 0, which is all there is: a border of 127 instead of 127.5 would halve the edges.
    let mut grey = plane();
    grey.fill(128);
    let thresholds = BTreeMap::from([("relu".to_owned(), 0.04)]);
    let model = int8(&network, &parameters, SIZE, &thresholds, &Style::Cpu).unwrap();
    let Some(map) = map(model, &grey) else { return };
    let wanted = |taps: f64| 255.0 / (1.0 + (-100.0 * taps * 0.5 / 127.5).exp());
    for (row, column, taps) in [(0, 0, 4.0), (0, 300, 6.0), (200, 0, 6.0), (415, 575, 4.0), (200, 300, 9.0)] {
        let found = f64::from(map[row * SIZE.1 + column]);
        assert!((found - wanted(taps)).abs() <= 1.0, "{row},{column}: {found}, not {}", wanted(taps));
    }
}

#[test]
fn values_over_the_range_of_half_precision_are_found_and_kept() {
    let frames = frames(1);
    let mut module = module(Network::vgg16_fcn(0.0625), &frames[0]);
    // The same function, with large values between two convolutions.
    for (name, factor) in [("conv3_1.weight", 3e5), ("conv3_1.bias", 3e5), ("conv3_2.weight", 1.0 / 3e5)] {
        let tensor = module.parameters[name].detach() * factor;
        module.parameters.insert(name.into(), tensor);
    }
    let calibration = Calibration::of(&module, &[&frames[0]], SIZE).unwrap();
    let full = at_risk(&module.network, &module.parameters, &calibration.largest);
    for layer in ["conv3_1", "relu3_1", "conv3_2"] {
        assert!(full.contains(layer), "{full:?}");
    }
    assert!(!full.contains("conv3_3") && !full.contains("conv2_2"), "{full:?}");
    let with = |full: &BTreeSet<String>| half(&module.network, &module.parameters, SIZE, full).unwrap();
    let Some(kept) = map(with(&full), &crop(&frames[0])) else { return };
    assert!(off(&module, &frames[0], &kept) < 0.5);
    let style = Style::TensorRt { full };
    let thresholds = calibration.thresholds(&module.network, Method::Max, &style);
    let model = int8(&module.network, &module.parameters, SIZE, &thresholds, &style).unwrap();
    let map = map(model, &crop(&frames[0])).unwrap();
    let off = off(&module, &frames[0], &map);
    assert!(off < 12.0, "{off}");
}

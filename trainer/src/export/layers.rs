//! Every layer's output in ONNX Runtime and in the trained network.

use std::path::Path;

use anyhow::{Result, anyhow};
use nervelight_engines::contract::INPUT;
use nervelight_engines::onnx::find_library;
use ort::session::Session;
use ort::value::Tensor as Value;
use tch::{Device, Kind, Tensor};

use crate::data::{Frame, batch};
use crate::net::{Module, NumberFormat, fuse};

/// Largest difference that counts as the same, relative to the layer's largest value: the order of
/// sums over thousands of products differs.
const SAME: f64 = 1e-4;

/// One layer over all frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The largest absolute difference of a value.
    pub difference: f64,
    /// The largest absolute value.
    pub largest: f64,
}

impl Layer {
    /// Whether both compute the same, but for rounding.
    pub fn is_same(&self) -> bool {
        self.difference <= SAME * self.largest
    }
}

/// Runs `frames` of `size` through `graph`, which gives every layer's output, and through `module`.
///
/// # Errors
/// When ONNX Runtime is not there or fails.
pub fn compare(
    graph: &[u8],
    module: &Module,
    frames: &[&Frame],
    size: (usize, usize),
    library: Option<&Path>,
) -> Result<Vec<Layer>> {
    // The graph has no batch normalisation of its own.
    let (network, parameters) =
        fuse(&module.network, &module.parameters).map_err(|name| anyhow!("the checkpoint lacks `{name}`"))?;
    let module = Module::new(network, parameters, 0, NumberFormat::Fp32, module.device());
    let library = find_library(library)?;
    let environment = ort::init_from(&library)?.with_name("layers").with_telemetry(false).build()?;
    let mut session = Session::builder(&environment)?.commit_from_memory(graph)?;
    let layers = module.network.layers.iter();
    let mut layers: Vec<Layer> =
        layers.map(|layer| Layer { name: layer.name.clone(), difference: 0.0, largest: 0.0 }).collect();
    for frame in frames {
        let shape = [1, 1, size.0 as i64, size.1 as i64];
        let input = Value::from_array((shape, frame.luma.to_vec()))?;
        let outputs = session.run(ort::inputs![INPUT => input])?;
        let crops = batch(&[*frame], size, None, module.device()).crops;
        for ((name, wanted), layer) in module.layer_outputs(&crops).iter().zip(&mut layers) {
            let (_, got) = outputs[name.as_str()].try_extract_tensor::<f32>()?;
            let wanted = wanted.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
            let got = Tensor::from_slice(got).view_as(&wanted);
            layer.difference = layer.difference.max((&got - &wanted).abs().max().double_value(&[]));
            layer.largest = layer.largest.max(wanted.abs().max().double_value(&[]));
        }
    }
    Ok(layers)
}

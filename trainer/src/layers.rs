//! `layers`: every layer's output in ONNX Runtime against the trained network's.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use nervelight_engines::contract::INPUT;
use nervelight_engines::onnx::find_library;
use ort::session::Session;
use ort::value::Tensor as Value;
use tch::{Device, Kind};

use crate::data::batch;
use crate::evaluate::select;
use crate::export::sample;
use crate::fold::fold;
use crate::module::{Module, Precision};
use crate::onnx::{Outputs, model};
use crate::predict::{Which, trained};
use crate::run::RunDir;

/// Largest difference that counts as the same, relative to the layer's largest value: the order of
/// sums over thousands of products differs.
const SAME: f64 = 1e-4;

/// Arguments of `layers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train layers --run runs/first
  nervelight-train layers --run runs/first --frames 10 --onnx layers.onnx")]
pub struct Arguments {
    /// Directory of the training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The run's data, where it lies elsewhere now
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which checkpoint
    #[arg(long, value_enum, default_value_t = Which::Best)]
    checkpoint: Which,
    /// Validation frames to compare
    #[arg(long, value_name = "N", default_value_t = 3)]
    frames: usize,
    /// Keep the graph that gives every layer's output
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// libonnxruntime.so
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

/// Prints a line for each layer; an error when one differs.
pub fn run(arguments: &Arguments) -> Result<()> {
    let (run, settings, split) = RunDir::open(&arguments.run)?;
    let data = run.data(&settings, &split, arguments.data.as_deref())?;
    let size = (data.height, data.width);
    let module = trained(&run, &settings, arguments.checkpoint, settings.device()?)?;
    let graph = model(&module.network, &module.parameters, size, Outputs::Layers)
        .map_err(|name| anyhow!("the checkpoint lacks `{name}`"))?;
    if let Some(path) = &arguments.onnx {
        std::fs::write(path, &graph).with_context(|| format!("{}: write", path.display()))?;
    }

    // The graph has no batch normalisation of its own.
    let (network, parameters) =
        fold(&module.network, &module.parameters).map_err(|name| anyhow!("the checkpoint lacks `{name}`"))?;
    let module = Module::new(network, parameters, 0, Precision::Fp32, module.device());

    let library = find_library(arguments.library.as_deref())?;
    let environment = ort::init_from(&library)?.with_name("layers").with_telemetry(false).build()?;
    let mut session = Session::builder(&environment)?.commit_from_memory(&graph)?;
    let mut largest = vec![(0f64, 0f64); module.network.layers.len()];
    for frame in sample(&select(&data, &split, None)?, arguments.frames) {
        let shape = [1, 1, data.height as i64, data.width as i64];
        let input = Value::from_array((shape, frame.luma.to_vec()))?;
        let outputs = session.run(ort::inputs![INPUT => input])?;
        let crops = batch(&[frame], size, None, module.device()).crops;
        for ((name, wanted), largest) in module.layer_outputs(&crops).iter().zip(&mut largest) {
            let (_, got) = outputs[name.as_str()].try_extract_tensor::<f32>()?;
            let wanted = wanted.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
            let got = tch::Tensor::from_slice(got).view_as(&wanted);
            largest.0 = largest.0.max((&got - &wanted).abs().max().double_value(&[]));
            largest.1 = largest.1.max(wanted.abs().max().double_value(&[]));
        }
    }
    outln!("{:<12} {:>14} {:>14}", "layer", "difference", "largest value");
    let mut wrong = Vec::new();
    for (layer, (difference, value)) in module.network.layers.iter().zip(largest) {
        outln!("{:<12} {difference:>14.3e} {value:>14.3e}", layer.name);
        if difference.is_nan() || difference > SAME * value {
            wrong.push(layer.name.as_str());
        }
    }
    match wrong.first() {
        Some(first) => bail!("{} layers differ, the first is {first}", wrong.len()),
        None => Ok(()),
    }
}

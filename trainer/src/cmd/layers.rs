//! `layers`: every layer's output in ONNX Runtime against the trained network's.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};

use crate::data::{evenly_spaced, select};
use crate::export::layers;
use crate::export::onnx::{Outputs, model};
use crate::train::{RunDir, Which, trained};
use crate::util;

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
    /// Where the run's data lies now, if it was moved
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which checkpoint
    #[arg(long, value_enum, default_value_t = Which::Best)]
    checkpoint: Which,
    /// Validation frames to compare
    #[arg(long, value_name = "N", default_value_t = 3)]
    frames: usize,
    /// Write the graph that gives every layer's output to this file
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
    let frames = evenly_spaced(&select(&data, &split, None)?, arguments.frames);
    let layers = layers::compare(&graph, &module, &frames, size, arguments.library.as_deref())?;
    let mut table = util::table(["layer", "difference", "largest value"]);
    for layer in &layers {
        let figures = [layer.difference, layer.largest].map(|value| format!("{value:.3e}"));
        table.add_row([layer.name.clone()].into_iter().chain(figures));
    }
    out!("{}", util::lines(&table));
    let wrong: Vec<_> = layers.iter().filter(|layer| !layer.is_same()).collect();
    match wrong.first() {
        Some(first) => bail!("{} layers differ, the first is {}", wrong.len(), first.name),
        None => Ok(()),
    }
}

//! `quantize`: adds precisions to a bundle.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use nervelight_engines::Bundle;
use nervelight_engines::store::bundles;

use crate::data::{Dataset, Frame, Split};
use crate::export::quantize::{Job, Options, extend};
use crate::export::{beside, command_line};
use crate::net::Network;
use crate::weights::exported;

/// Arguments of `quantize`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train quantize --bundle old.bundle --data data --out new.bundle
  nervelight-train quantize --bundle old.bundle --data data --split runs/first/split.json --out new.bundle

With --split the training part calibrates, and the precisions are evaluated on the validation part.
Without it every other patient calibrates, and the precisions are evaluated on the rest.")]
pub struct Arguments {
    /// The bundle whose fp32 model to quantise
    #[arg(long, value_name = "NAME.bundle")]
    bundle: PathBuf,
    /// Frames to calibrate with and to evaluate on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// split.json of the training run
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,
    /// The bundle to write: a directory, or one file when the name ends in .tar
    #[arg(long, value_name = "NAME.bundle")]
    out: PathBuf,
    #[command(flatten)]
    options: Options,
    /// libonnxruntime.so
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

/// Quantises and evaluates.
pub fn run(arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    if out.exists() {
        bail!("{}: is there already; remove it or choose another name", out.display());
    }
    let mut bundle = Bundle::open(&arguments.bundle)?;
    let provenance = &mut bundle.manifest.provenance;
    let network = Network::described(&provenance.network)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("{}: manifest.json", arguments.bundle.display()))?;
    let parameters = exported::read(&network, &arguments.bundle)?;
    provenance.command = format!("{}; {}", provenance.command, command_line());
    let data = Dataset::load(&arguments.data)?;
    let (training, held_out) = match &arguments.split {
        Some(path) => Split::load(path)?.frames(&data)?,
        None => alternate(&data)?,
    };
    let job = Job {
        network: &network,
        parameters: &parameters,
        training: &training,
        held_out: &held_out,
        library: arguments.library.clone(),
    };
    let (_removed_at_last, unchecked) = beside(out)?;
    extend(&bundle, &job, &arguments.options, &unchecked)?;
    bundles::put(&unchecked, out).with_context(|| format!("{}: cannot be put there", out.display()))?;
    outln!("{} {} in {}", bundle.manifest.name, bundle.manifest.version, out.display());
    Ok(())
}

/// Frames of every other patient, and of the rest.
fn alternate(data: &Dataset) -> Result<(Vec<&Frame>, Vec<&Frame>)> {
    let patients = data.patients();
    ensure!(patients.len() > 1, "one patient cannot both calibrate and evaluate; take data of several");
    let even = |frame: &&Frame| patients.iter().position(|p| *p == frame.patient).is_some_and(|i| i % 2 == 0);
    Ok(data.frames.iter().partition(even))
}

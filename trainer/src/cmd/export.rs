//! `export`: writes a trained network as a model bundle and checks it in ONNX Runtime.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use nervelight_engines::Bundle;
use nervelight_engines::bundle::{Draft, Geometry, Manifest, Provenance};
use nervelight_engines::store::bundles;

use crate::cmd::sign::sign;
use crate::data::{evenly_spaced, select};
use crate::export::golden::golden;
use crate::export::onnx::{Outputs, model};
use crate::export::quantize::{Job, Options, extend};
use crate::export::{self, beside, command_line, stem, verify};
use crate::metrics::{self, Thresholded, predict};
use crate::net::Module;
use crate::sign::SigningKey;
use crate::train::{RunDir, Which, trained};

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train export --run runs/first --out first.bundle
  nervelight-train export --run runs/first --out first.tar --threshold 0.5 --min-area 400
  nervelight-train export --run runs/first --out first.bundle --layers
  nervelight-train export --run runs/first --out first.tar --sign keys/lab-2026.key

The bundle appears once ONNX Runtime computes the trained network's maps from its fp32 model. The other
precisions follow. One that loses too much is left out, and the table says why.
ONNX Runtime is looked for in --library, ORT_DYLIB_PATH and the usual places.")]
pub struct Arguments {
    /// Directory of the training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The bundle to write: a directory, or one file when the name ends in .tar
    #[arg(long, value_name = "NAME.bundle")]
    out: PathBuf,
    /// Where the run's data lies now, if it was moved
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which checkpoint
    #[arg(long, value_enum, default_value_t = Which::Best)]
    checkpoint: Which,
    /// The model's name [default: that of the bundle]
    #[arg(long)]
    name: Option<String>,
    /// The model's version
    #[arg(long, default_value = "1.0.0")]
    model_version: String,
    /// Least probability that counts as nerve, 0..1 [default: the best on validation frames]
    #[arg(long, value_name = "P", value_parser = metrics::probability)]
    threshold: Option<f32>,
    /// Least area of a nerve in pixels [default: the best on validation frames]
    #[arg(long, value_name = "PIXELS")]
    min_area: Option<u32>,
    /// Frames to compare in ONNX Runtime
    #[arg(long, value_name = "N", default_value = "24")]
    frames: NonZeroUsize,
    #[command(flatten)]
    options: Options,
    /// Sign the bundle with this secret key, a .key file of `keygen` or of minisign
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// The signed bundle's serial [default: the seconds since 1970, or one more than the key's last]
    #[arg(long, value_name = "N", requires = "sign")]
    serial: Option<u64>,
    /// Keep this change record in the signed bundle: the .html of `compare --record`, and the .json beside it
    #[arg(long, value_name = "FILE", requires = "sign")]
    record: Option<PathBuf>,
    /// Compare every layer's output too
    #[arg(long)]
    layers: bool,
    /// libonnxruntime.so
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

/// Exports and checks.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.out.exists() {
        bail!("{}: is there already; remove it or choose another name", arguments.out.display());
    }
    // Its password is asked for before the work begins.
    let key = arguments.sign.as_ref().map(|path| SigningKey::read(path)).transpose()?;
    let (run, settings, split) = RunDir::open(&arguments.run)?;
    let data = run.data(&settings, &split, arguments.data.as_deref())?;
    let frames = select(&data, &split, None)?;
    let size = (data.height, data.width);
    let module = trained(&run, &settings, arguments.checkpoint, settings.device()?)?;
    let predictions = predict(&module, &frames, size, settings.batch_size)?;
    let point = metrics::choose(&predictions, data.width, arguments.threshold, arguments.min_area);
    let outcomes = metrics::outcomes(&predictions, data.width, point);

    let soft = metrics::soft(predictions.iter().map(|p| p.sums), settings.batch_size);

    let name = arguments.name.clone().unwrap_or_else(|| stem(&arguments.out));
    let manifest = Manifest {
        geometry: Geometry { width: data.width, height: data.height },
        threshold: point.threshold,
        min_area: point.min_area,
        provenance: Provenance {
            network: format!("{} x{}", module.network.name, module.network.width),
            data_digest: data.digest.clone(),
            corrections_digest: data.corrections.as_ref().map(|applied| applied.corrections.digest.clone()),
            split_digest: split.digest(),
            seed: settings.seed,
            revision: env!("NERVELIGHT_REVISION").into(),
            command: command_line(),
            metrics: export::metrics(&Thresholded::of(&outcomes), &soft),
        },
        ..Manifest::new(name, arguments.model_version.clone())
    };
    let mut draft = Draft::new(manifest);
    let parameters = &module.parameters;
    let onnx = model(&module.network, parameters, size, Outputs::Map);
    draft.file("fp32.onnx", onnx.map_err(|name| anyhow!("the checkpoint lacks `{name}`"))?);
    for golden in golden(&predictions, data.width, point)? {
        draft.golden(&golden)?;
    }

    let out = &arguments.out;
    let (folder, unchecked) = beside(out)?;
    let mut bundle = draft.write(&unchecked)?;
    verify(
        &bundle,
        &module,
        &evenly_spaced(&frames, arguments.frames.get()),
        size,
        arguments.library.clone(),
    )?;
    if arguments.layers {
        compare_layers(arguments)?;
    }
    let options = &arguments.options;
    let alone = !options.any();
    if alone || options.fp32_will_do() {
        bundles::put(&unchecked, out).with_context(|| format!("{}: cannot be put there", out.display()))?;
    }
    if !alone {
        if options.fp32_will_do() {
            outln!(
                "fp32 is in {}; now the other precisions, which replace it when they are done",
                out.display()
            );
            bundle = Bundle::open(out)?;
        }
        let extended = folder.path().join("all").join(out.file_name().unwrap_or_default());
        let extend = || -> Result<Bundle> {
            let (training, held_out) = split
                .frames(&data)
                .context("calibration takes the run's own data; --precisions fp32 does without")?;
            let (training, held_out) = (&training[..], &held_out[..]);
            let Module { network, parameters, .. } = &module;
            let job = Job { network, parameters, training, held_out, library: arguments.library.clone() };
            extend(&bundle, &job, options, &extended)
        };
        bundle = match extend() {
            Err(error) if out.exists() => {
                return Err(error.context(format!("{} has fp32 and no other precision", out.display())));
            }
            extended => extended?,
        };
        bundles::put(&extended, out).with_context(|| format!("{}: cannot be put there", out.display()))?;
    }
    let Manifest { name, version, threshold, min_area, .. } = &bundle.manifest;
    outln!("{name} {version} in {}: threshold {threshold}, least area {min_area}", out.display());
    for (name, value) in &bundle.manifest.provenance.metrics {
        outln!("  {name} {value:.4}");
    }
    if let Some(key) = &key {
        // What was checked, from where it is now.
        let bundle = Bundle::open(out)?;
        sign(&bundle, key, arguments.serial, arguments.record.as_deref(), out)
            .with_context(|| format!("{}: is there, but unsigned", out.display()))?;
    }
    Ok(())
}

/// In a process of its own: ONNX Runtime allows one environment each.
fn compare_layers(arguments: &Arguments) -> Result<()> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["layers", "--run"]).arg(&arguments.run);
    for (name, value) in [("--data", &arguments.data), ("--library", &arguments.library)] {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    }
    if arguments.checkpoint == Which::Last {
        command.args(["--checkpoint", "last"]);
    }
    if !command.status()?.success() {
        bail!("the layers differ; no bundle was written");
    }
    Ok(())
}

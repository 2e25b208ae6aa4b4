//! `export`: a trained network as a model bundle, checked against itself in ONNX Runtime.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nervelight_engines::bundle::{Draft, Geometry, Manifest, Provenance};
use nervelight_engines::golden::{Golden, check};
use nervelight_engines::store::bundles;
use nervelight_engines::{Backend, Bundle, Engine, EngineSettings, PIXELS, plane, processor};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::data::{Frame, batch};
use crate::difference::Difference;
use crate::evaluate::{select, soft};
use crate::golden;
use crate::metrics::Figures;
use crate::module::Module;
use crate::onnx::{Outputs, model};
use crate::point::{self, Hard, Point};
use crate::predict::{Prediction, Which, predict, trained};
use crate::quantize::{Job, Options, extend};
use crate::right_engine;
use crate::run::RunDir;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  nervelight-train export --run runs/first --out first.bundle
  nervelight-train export --run runs/first --out first.tar --threshold 0.5 --min-area 400
  nervelight-train export --run runs/first --out first.bundle --layers

The bundle appears when ONNX Runtime computes the same maps from fp32 as the trained network. The other
precisions follow; one that loses too much is left out, and the table says why.
ONNX Runtime is looked for in --library, ORT_DYLIB_PATH and the usual places.")]
pub struct Arguments {
    /// Directory of the training run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The bundle to write: a directory, or one file when the name ends in .tar
    #[arg(long, value_name = "NAME.bundle")]
    out: PathBuf,
    /// The run's data, where it lies elsewhere now
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
    #[arg(long, value_name = "P", value_parser = point::probability)]
    threshold: Option<f32>,
    /// Least area of a nerve in pixels [default: the best on validation frames]
    #[arg(long, value_name = "PIXELS")]
    min_area: Option<u32>,
    /// Frames to compare in ONNX Runtime
    #[arg(long, value_name = "N", default_value = "24")]
    frames: NonZeroUsize,
    #[command(flatten)]
    options: Options,
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
    let (run, settings, split) = RunDir::open(&arguments.run)?;
    let data = run.data(&settings, &split, arguments.data.as_deref())?;
    let frames = select(&data, &split, None)?;
    let size = (data.height, data.width);
    let module = trained(&run, &settings, arguments.checkpoint, settings.device()?)?;
    let predictions = predict(&module, &frames, size, settings.batch_size)?;
    let point = point::choose(&predictions, data.width, arguments.threshold, arguments.min_area);
    let outcomes = point::outcomes(&predictions, data.width, point);

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
            metrics: metrics(&Hard::of(&outcomes), &soft(&predictions, settings.batch_size)),
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
    verify(&bundle, &module, &sample(&frames, arguments.frames.get()), size, arguments.library.clone())?;
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
    Ok(())
}

/// A folder beside `out`, so that a bundle that fails never stands there, and the bundle's place in it.
/// It goes when the program is told to stop, too.
pub fn beside(out: &Path) -> Result<(tempfile::TempDir, PathBuf)> {
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("{}: make", parent.display()))?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let folder = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)
        .with_context(|| format!("{}: make a folder in it", parent.display()))?;
    let unfinished = folder.path().to_owned();
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // What is being written may come between, and make the folder anew.
            for _ in 0..50 {
                let _gone = std::fs::remove_dir_all(&unfinished);
                std::thread::sleep(std::time::Duration::from_millis(20));
                if !unfinished.exists() {
                    break;
                }
            }
            // As if nobody had listened. Without destructors: libtorch's would pull away what its
            // threads still compute with.
            let _never_returns = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    let place = folder.path().join(out.file_name().context("--out has no name")?);
    Ok((folder, place))
}

/// Runs the bundle on `frames` through ONNX Runtime and compares every pixel. Where that computes wrong on this
/// processor, the file's own arithmetic proves the file.
fn verify(
    bundle: &Bundle,
    module: &Module,
    frames: &[&Frame],
    size: (usize, usize),
    library: Option<PathBuf>,
) -> Result<()> {
    let settings = EngineSettings { library, backend: Backend::Onnx, ..Default::default() };
    let mut engine = nervelight_engines::open(bundle, &settings)?;
    let mut difference = compare_maps(engine.as_mut(), module, frames, size)?;
    if difference.wrong > 0 {
        let Difference { wrong, worst, .. } = difference;
        let mut own = right_engine::reference(bundle, &settings).map_err(anyhow::Error::msg)?;
        difference = compare_maps(&mut own, module, frames, size)?;
        let (runtime, pixels) = (engine.info().runtime.clone(), frames.len() * PIXELS);
        if difference.wrong > 0 {
            bail!(
                "{runtime} computes other maps than the trained network: {wrong} of {pixels} pixels differ, by up to \
                 {worst}/255. No bundle was written. Compare the layers with `nervelight-train layers`"
            );
        }
        errln!(
            "warning: {runtime} (CPU) on {} computes fp32.onnx wrong: {wrong} of {pixels} pixels differ, by up to \
             {worst}/255, where the file's own arithmetic gives the trained network's maps. The file is right; a cart \
             with this processor and runtime would refuse it",
            processor::name()
        );
        engine = Box::new(own);
    }
    let agreement = check(engine.as_mut(), bundle)?;
    outln!(
        "{}: {} frames equal to the trained network, {} pixels rounded the other way at a tie; \
         golden frames: Dice {:.4}",
        engine.info().runtime,
        frames.len(),
        difference.ties,
        agreement.dice
    );
    Ok(())
}

/// How the maps of `engine` differ from those of the trained network.
fn compare_maps(
    engine: &mut dyn Engine,
    module: &Module,
    frames: &[&Frame],
    size: (usize, usize),
) -> Result<Difference> {
    let (mut crop, mut map) = (plane(), plane());
    let mut difference = Difference::default();
    for frame in frames {
        crop.copy_from_slice(&frame.luma);
        engine.infer(&crop, &mut map)?;
        let probability = module.predict(&batch(&[*frame], size, None, module.device()).crops);
        let probability = Vec::<f32>::try_from(probability.to_device(tch::Device::Cpu).flatten(0, -1))?;
        difference = difference.and(Difference::of(&map[..], &probability));
    }
    Ok(difference)
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

/// `count` of `frames`, evenly spaced.
pub fn sample<'a>(frames: &[&'a Frame], count: usize) -> Vec<&'a Frame> {
    let count = count.clamp(1, frames.len().max(1));
    (0..count).filter_map(|i| frames.get(i * frames.len() / count).copied()).collect()
}

/// Golden frames of `predictions`, whose maps the engine on a cart must give.
fn golden(predictions: &[Prediction], width: usize, point: Point) -> Result<Vec<Golden>> {
    let goldens = golden::choose(predictions, width, point).into_iter().map(|i| {
        let Prediction { frame, map, .. } = &predictions[i];
        let (mut crop, mut expected) = (plane(), plane());
        anyhow::ensure!(frame.luma.len() == PIXELS, "{}: is no crop of the contract's size", frame.name);
        crop.copy_from_slice(&frame.luma);
        expected.copy_from_slice(map);
        Ok(Golden { name: frame.name.clone(), crop, map: expected })
    });
    goldens.collect()
}

/// Figures by name, without those that no frame tells.
fn metrics(hard: &Hard, soft: &Figures) -> BTreeMap<String, f64> {
    let hard = [
        ("dice", hard.dice),
        ("iou", hard.iou),
        ("presence", hard.presence),
        ("sensitivity", hard.sensitivity),
        ("specificity", hard.specificity),
        ("frames", Some(hard.frames as f64)),
        ("nerve_frames", Some(hard.nerve_frames as f64)),
    ];
    let soft = Figures::NAMES.into_iter().zip(soft.values());
    let soft = soft.map(|(name, value)| (format!("soft_{name}"), value));
    let hard = hard.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    hard.chain(soft).collect()
}

/// The command line, without the folder of the program.
pub fn command_line() -> String {
    let mut arguments: Vec<String> = std::env::args().collect();
    if let Some(program) = arguments.first_mut() {
        *program = stem(Path::new(program));
    }
    arguments.join(" ")
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init;
    use crate::module::Precision;
    use crate::network::Network;
    use crate::point::Outcome;
    use nervelight_engines::EngineError;

    /// A network with random weights in ONNX Runtime, against the same in libtorch.
    #[test]
    fn exported_network_computes_the_same_map() {
        exported(Network::vgg16_fcn(0.25));
    }

    #[test]
    fn exported_network_has_its_normalisation_folded_in() {
        exported(Network::vgg16_unet(0.125));
    }

    fn exported(network: Network) {
        tch::manual_seed(1);
        let start = init::random(&network);
        let module = Module::new(network, start.parameters, 0, Precision::Fp32, tch::Device::Cpu);
        let size = (416, 576);
        let mut rng = crate::rng::Rng::new(&[7]);
        let luma = (0..PIXELS).map(|i| (rng.below(128) + i % 128) as u8).collect();
        let frame = Frame { name: "1_1".into(), patient: 1, luma, nerve: vec![0; PIXELS].into() };
        let manifest = Manifest::new("random", "1");
        let mut draft = Draft::new(manifest);
        let predictions = predict(&module, &[&frame], size, 1).unwrap();
        let point = Point { threshold: 0.5, min_area: 1 };
        draft.golden(&golden(&predictions, size.1, point).unwrap()[0]).unwrap();
        draft.file("fp32.onnx", model(&module.network, &module.parameters, size, Outputs::Map).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let bundle = draft.write(&directory.path().join("random.bundle")).unwrap();
        let distinct: std::collections::BTreeSet<u8> = predictions[0].map.iter().copied().collect();
        assert!(distinct.len() > 20, "a flat map proves nothing: {distinct:?}");
        match verify(&bundle, &module, &[&frame], size, None) {
            Err(e) if matches!(e.downcast_ref(), Some(EngineError::LibraryNotFound { .. })) => {
                eprintln!("skipped: {e}");
            }
            result => result.unwrap(),
        }
    }

    #[test]
    fn figures_that_no_frame_tells_are_left_out() {
        let hard = Hard::of(&[Outcome { truth: 4, shown: 4, both: 4 }]);
        let metrics = metrics(&hard, &Figures::default());
        assert_eq!(metrics.get("sensitivity"), Some(&1.0));
        assert!(!metrics.contains_key("specificity"));
    }

    #[test]
    fn samples_are_spread_and_never_more_than_there_are() {
        let frames: Vec<Frame> = (0..10)
            .map(|i| Frame { name: i.to_string(), patient: 1, luma: Box::default(), nerve: Box::default() })
            .collect();
        let frames: Vec<&Frame> = frames.iter().collect();
        let names = |count| sample(&frames, count).iter().map(|f| f.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(2), ["0", "5"]);
        assert_eq!(names(99).len(), 10);
    }
}

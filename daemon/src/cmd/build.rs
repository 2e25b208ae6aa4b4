//! `nervelightd build`: a TensorRT engine of a bundle, ahead of the first start; one of TensorRT for RTX on any machine.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nervelight_engines::store::engines::Store;
use nervelight_engines::tensorrt::{self, TensorrtError};
use nervelight_engines::{
    self as engines, Backend, BuildMonitor, Bundle, EngineError, EngineSettings, Precision,
};

use crate::FAILURE;
use crate::cmd::options::StoreOptions;
use crate::config::Config;
use crate::exit;
use crate::infer::BUILD_PATIENCE;
use crate::model;
use crate::supervise::signals;

/// What to build, and where.
#[derive(clap::Args)]
pub struct Arguments {
    /// Bundle, engine and store as this configuration says; the other options replace what it says.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A bundle from `nervelight-train export`.
    #[arg(long, required_unless_present = "config")]
    bundle: Option<PathBuf>,
    /// fp32, fp16 or int8; fp16 unless a configuration says otherwise.
    #[arg(long)]
    precision: Option<Precision>,
    /// tensorrt or tensorrt-rtx; as the configuration says, or tensorrt.
    #[arg(long, value_parser = parse_backend)]
    backend: Option<Backend>,
    /// With backend tensorrt-rtx: build for GPUs of this compute capability, such as 8.9, on a machine that needs none.
    /// The golden frames judge the engine where it is first loaded.
    #[arg(long)]
    compute_capability: Option<String>,
    /// Build even if the store has a plan, or knows that it was rejected.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    location: StoreOptions,
}

fn parse_backend(text: &str) -> Result<Backend, String> {
    let backend = text.parse().ok().filter(|backend: &Backend| backend.is_tensorrt());
    backend.ok_or_else(|| "it is tensorrt or tensorrt-rtx".into())
}

/// Builds the engine, unless the store has it, and proves it on the golden frames. Ctrl-C stops it.
///
/// # Errors
/// What keeps it from being built.
pub fn build(arguments: &Arguments) -> Result<()> {
    let config = arguments.config.as_ref().map(|path| Config::read(path)).transpose()?;
    let mut settings = match &config {
        Some(config) => config.engine.clone(),
        None => EngineSettings { precision: Precision::Fp16, ..Default::default() },
    };
    settings.backend = match arguments.backend {
        Some(backend) => backend,
        None if settings.backend.is_tensorrt() => settings.backend,
        None => Backend::Tensorrt,
    };
    settings.precision = arguments.precision.unwrap_or(settings.precision);
    arguments.location.apply(&mut settings.tensorrt);
    let bundle = match (&arguments.bundle, &config) {
        (Some(path), _) => Bundle::open(path)?,
        (None, Some(config)) => model::look(config)?,
        (None, None) => bail!("--bundle is missing"),
    };

    let stop = signals::listen()?;
    let begun = Instant::now();
    let (force, monitor) = (arguments.force, BuildMonitor::new(stop));
    if let Some(target) = &arguments.compute_capability {
        let ahead =
            under_a_bar(&monitor, || tensorrt::build_ahead(&bundle, &settings, target, force, &monitor))?;
        outln!(
            "{} {} engine for {} ({}), {}, in {}. The golden frames judge it where it is first loaded",
            ahead.model,
            settings.precision,
            ahead.key.gpu.name,
            ahead.runtime,
            match ahead.was_built {
                true => "built before".into(),
                false => format!("{:.1} s", begun.elapsed().as_secs_f64()),
            },
            Store::new(settings.tensorrt.store.as_deref()).folder().display()
        );
        return Ok(());
    }
    let (engine, agreement) = under_a_bar(&monitor, || engines::build(&bundle, &settings, force, &monitor))?;
    let info = engine.info();
    outln!(
        "{} {} engine for {} ({}), golden frames agree with Dice {:.4}, {:.1} s, in {}",
        info.model,
        info.precision,
        info.provider,
        info.runtime,
        agreement.dice,
        begun.elapsed().as_secs_f64(),
        Store::new(settings.tensorrt.store.as_deref()).folder().display()
    );
    Ok(())
}

/// Does `work` on another thread and shows how far it is. Ends the process when a stop was asked for and TensorRT, which
/// looks for one between its steps only, is at one of minutes.
fn under_a_bar<T: Send>(
    monitor: &BuildMonitor,
    work: impl FnOnce() -> Result<T, EngineError> + Send,
) -> Result<T> {
    let bar = ProgressBar::new(1000);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {percent:>3} % {wide_msg}")?);
    let done = thread::scope(|scope| {
        let working = scope.spawn(work);
        let mut stopped: Option<Instant> = None;
        while !working.is_finished() {
            if let Some(progress) = monitor.progress() {
                bar.set_position((progress.done * 1000.0) as u64);
                bar.set_message(format!("{}: {}", progress.what, progress.phase));
            }
            if monitor.is_cancelled() && stopped.get_or_insert_with(Instant::now).elapsed() > BUILD_PATIENCE {
                bar.finish_and_clear();
                errln!("nervelightd: {}", TensorrtError::Cancelled);
                exit::at_once(FAILURE);
            }
            thread::sleep(Duration::from_millis(50));
        }
        working.join()
    });
    bar.finish_and_clear();
    Ok(done.map_err(|_| anyhow::anyhow!("the build's thread died"))??)
}

//! Dispatch: which backend opens an engine, and which one is used when the golden frames reject it. Knows every backend;
//! no backend knows this file.

use crate::bundle::Bundle;
use crate::engine::{Backend, BuildMonitor, Engine, EngineError, EngineSettings, Precision, Provider};
use crate::golden::{self, Agreement};
use crate::onnx::OnnxEngine;
use crate::openvino::{self, OpenvinoEngine};
use crate::tensorrt;

impl EngineSettings {
    /// The same with each backend that [`Backend::Auto`] stands for on this machine, the fastest first.
    pub fn candidates(&self) -> Vec<Self> {
        let with = |backend| Self { backend, ..self.clone() };
        match self.backend {
            // A provider that is not the CPU's is ONNX Runtime's, and so is a library that somebody named.
            Backend::Auto
                if self.provider != Provider::Cpu
                    || (self.library.is_some() && self.openvino.library.is_none()) =>
            {
                vec![with(Backend::Onnx)]
            }
            // Not measured on Arm.
            Backend::Auto
                if cfg!(target_arch = "x86_64")
                    && openvino::find_library(self.openvino.library.as_deref()).is_ok() =>
            {
                vec![with(Backend::Openvino), with(Backend::Onnx)]
            }
            Backend::Auto => vec![with(Backend::Onnx)],
            backend => vec![with(backend)],
        }
    }
}

/// Opens the engine that `settings` ask for on the model in `bundle`. What it computes is not proven, but for TensorRT:
/// its plans are only kept when the golden frames agree.
///
/// # Errors
/// When the runtime's library, the provider or the model is missing, or the model breaks the
/// [contract](crate::contract).
pub fn open(bundle: &Bundle, settings: &EngineSettings) -> Result<Box<dyn Engine>, EngineError> {
    first_of(&settings.candidates(), |settings| match unproven(bundle, settings)? {
        Some(engine) => Ok(engine),
        None => {
            let open = |settings: &_| proven(bundle, settings, false, &BuildMonitor::default());
            first_precision(bundle, settings, open).map(|(engine, _)| engine)
        }
    })
}

/// Opens an engine that the bundle's golden frames agree with. With [`Backend::Auto`] a backend that they reject on this
/// machine gives way to the next, and then a precision to the next in the bundle, with a warning: int8, fp16, fp32.
/// `monitor` shows how far a build is, and can stop it.
///
/// # Errors
/// The errors of [`open`] and [`golden::check_shown`]; those of [`golden::check`] when every precision is rejected.
pub fn open_proven(
    bundle: &Bundle,
    settings: &EngineSettings,
    monitor: &BuildMonitor,
) -> Result<(Box<dyn Engine>, Agreement), EngineError> {
    build(bundle, settings, false, monitor)
}

/// The same as [`open_proven`]. With `rebuild` an engine that is built before it runs is built anew, even if the store has
/// it or knows that it was rejected.
///
/// # Errors
/// The errors of [`open_proven`].
pub fn build(
    bundle: &Bundle,
    settings: &EngineSettings,
    rebuild: bool,
    monitor: &BuildMonitor,
) -> Result<(Box<dyn Engine>, Agreement), EngineError> {
    golden::check_shown(bundle)?;
    first_precision(bundle, settings, |settings| {
        first_of(&settings.candidates(), |settings| proven(bundle, settings, rebuild, monitor))
    })
}

/// The engine of one backend and precision, proven once.
fn proven(
    bundle: &Bundle,
    settings: &EngineSettings,
    rebuild: bool,
    monitor: &BuildMonitor,
) -> Result<(Box<dyn Engine>, Agreement), EngineError> {
    match unproven(bundle, settings)? {
        Some(mut engine) => {
            let agreement = golden::check(engine.as_mut(), bundle)?;
            Ok((engine, agreement))
        }
        None => tensorrt::open(bundle, settings, rebuild, monitor),
    }
}

/// The engine of one backend and precision; none of TensorRT, which proves its own.
fn unproven(bundle: &Bundle, settings: &EngineSettings) -> Result<Option<Box<dyn Engine>>, EngineError> {
    Ok(match settings.backend {
        Backend::Auto | Backend::Onnx => Some(Box::new(OnnxEngine::open(bundle, settings)?)),
        Backend::Openvino => Some(Box::new(OpenvinoEngine::open(bundle, settings)?)),
        Backend::Tensorrt | Backend::TensorrtRtx => None,
    })
}

/// What `open` makes of the first of `candidates` that works. Each failure but the last is a warning.
fn first_of<T>(
    candidates: &[EngineSettings],
    mut open: impl FnMut(&EngineSettings) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let mut opened = Err(EngineError::Infer("no engine".into()));
    for (i, settings) in candidates.iter().enumerate() {
        opened = open(settings);
        match (&opened, candidates.get(i + 1)) {
            (Err(error), Some(next)) => {
                tracing::warn!(%error, "backend = \"auto\" goes on with {}", next.backend);
            }
            _ => break,
        }
    }
    opened
}

/// What `open` makes of the precision asked for, or of the first wider one that the golden frames do not reject.
fn first_precision<T>(
    bundle: &Bundle,
    settings: &EngineSettings,
    mut open: impl FnMut(&EngineSettings) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let mut settings = settings.clone();
    loop {
        let error = match open(&settings) {
            Err(error @ (EngineError::Golden { .. } | EngineError::Rejected(_))) => error,
            other => return other,
        };
        let is_there = |p: &Precision| bundle.manifest.files.contains_key(p.file(settings.backend));
        let Some(next) = settings.precision.wider().find(is_there) else { return Err(error) };
        tracing::warn!(%error, "{} is rejected on this machine; {next} is used instead", settings.precision);
        settings.precision = next;
    }
}

use std::time::Instant;

use super::device::Device;
use super::ffi::Libraries;
use super::run::TensorrtEngine;
use super::store::{Found, Key, Record, Store, now};
use super::watch::Watch;
use super::{Machine, Prospect, TensorrtError, TensorrtSettings};
use crate::bundle::{Bundle, hex};
use crate::engine::{Engine, EngineError, EngineInfo, EngineSettings, Precision, first_proven};
use crate::golden;

/// Device, libraries and store, ready for one bundle. Making it is quick.
struct Ground<'a> {
    device: Device,
    libraries: &'static Libraries,
    store: Store,
    bundle: &'a Bundle,
    settings: &'a EngineSettings,
}

impl<'a> Ground<'a> {
    fn new(bundle: &'a Bundle, settings: &'a EngineSettings) -> Result<Self, TensorrtError> {
        // The device first: without one TensorRT's factories hand out broken objects.
        let device = Device::open(settings.tensorrt.device)?;
        let libraries = Libraries::load(settings.tensorrt.library.as_deref())?;
        let store = Store::new(settings.tensorrt.store.as_deref());
        Ok(Self { device, libraries, store, bundle, settings })
    }

    fn key(&self, onnx: &[u8]) -> Key {
        Key {
            onnx: hex(onnx),
            backend: "tensorrt".into(),
            version: self.libraries.version.clone(),
            gpu: self.device.gpu.clone(),
            workspace: u64::from(self.settings.tensorrt.workspace_mib) << 20,
            level: self.settings.tensorrt.optimization_level,
        }
    }

    fn info(&self, precision: Precision) -> EngineInfo {
        EngineInfo {
            runtime: format!("TensorRT {}", self.libraries.version),
            provider: self.device.gpu.name.clone(),
            precision,
            threads: 0,
            model: self.bundle.model(),
            digest: self.bundle.digest.clone(),
        }
    }

    /// The engine of one precision, from the store or built, proven on the golden frames.
    fn open(
        &self,
        precision: Precision,
        rebuild: bool,
        watch: &Watch,
    ) -> Result<Box<dyn Engine>, EngineError> {
        let onnx = self.bundle.read(precision.tensorrt_file())?;
        let key = self.key(&onnx);
        if !rebuild {
            match self.store.find(&key) {
                Found::Rejected(why) => return Err(EngineError::Rejected(why)),
                Found::Plan(plan) => match self.prove(&plan, precision) {
                    // The plan was proven when it was built: whatever has changed since, a new one is due.
                    Err(error) => tracing::warn!(%error, "the stored plan is not used; it is built again"),
                    proven => return proven,
                },
                Found::Nothing => {}
            }
        }
        let begun = Instant::now();
        let plan = self.build(precision, &onnx, &key, watch)?;
        let seconds = begun.elapsed().as_secs_f64();
        let proven = self.prove(&plan, precision);
        let rejected = match &proven {
            Ok(_) => None,
            Err(error @ EngineError::Golden { .. }) => Some(error.to_string()),
            // The device's fault, not the plan's: nothing is known about it.
            Err(_) => return proven,
        };
        let record = Record {
            key,
            precision,
            model: self.bundle.model(),
            built: now(),
            seconds,
            sha256: String::new(),
            bytes: 0,
            rejected,
        };
        let kept: &[u8] = if record.rejected.is_some() { &[] } else { &plan };
        if let Err(error) = self.store.put(record, kept) {
            tracing::warn!(%error, "the plan is used and not kept: it will be built again");
        }
        proven
    }

    fn build(
        &self,
        precision: Precision,
        onnx: &[u8],
        key: &Key,
        watch: &Watch,
    ) -> Result<Vec<u8>, TensorrtError> {
        let what = format!("{precision} engine of {}", self.bundle.model());
        tracing::info!(engine = %what, gpu = %self.device.gpu.name, "building; this can take minutes");
        watch.start(what);
        let timing = self.store.timing(key);
        let built = self
            .device
            .bind()
            .and_then(|()| self.libraries.build(onnx, key.workspace as usize, key.level, &timing, watch));
        watch.finish();
        let (plan, grown) = built?;
        if !grown.is_empty()
            && grown != timing
            && let Err(error) = self.store.put_timing(key, &grown)
        {
            tracing::warn!(%error, "the timing cache is not kept: the next build takes as long as this one");
        }
        Ok(plan)
    }

    fn prove(&self, plan: &[u8], precision: Precision) -> Result<Box<dyn Engine>, EngineError> {
        let mut engine =
            TensorrtEngine::new(self.device.clone(), self.libraries, plan, self.info(precision))?;
        golden::check(&mut engine, self.bundle)?;
        Ok(Box::new(engine))
    }
}

/// Opens the engine of the precision asked for; builds it unless the store has it, or when `rebuild` is true. One
/// that the golden frames reject gives way to the next precision in the bundle: int8, fp16, fp32.
///
/// # Errors
/// When there is no device or library, TensorRT refuses the model, the build is cancelled, or the golden frames
/// reject every precision.
pub fn open(
    bundle: &Bundle,
    settings: &EngineSettings,
    rebuild: bool,
    watch: &Watch,
) -> Result<Box<dyn Engine>, EngineError> {
    let ground = Ground::new(bundle, settings)?;
    if bundle.golden()?.is_empty() {
        return Err(EngineError::NoGolden(bundle.path.clone()));
    }
    first_proven(bundle, settings, |precision| ground.open(precision, rebuild, watch))
}

/// Brings device and libraries up and looks for a plan, without loading or building one.
///
/// # Errors
/// When there is no device or library, or the bundle has no model of the precision asked for.
pub fn probe(bundle: &Bundle, settings: &EngineSettings) -> Result<Prospect, EngineError> {
    let ground = Ground::new(bundle, settings)?;
    let key = ground.key(&bundle.read(settings.precision.tensorrt_file())?);
    let is_built = !matches!(ground.store.find(&key), Found::Nothing);
    Ok(Prospect { info: ground.info(settings.precision), key, is_built })
}

/// Brings device and libraries up, and says what they are.
///
/// # Errors
/// When there is no device or library.
pub fn machine(settings: &TensorrtSettings) -> Result<Machine, TensorrtError> {
    let device = Device::open(settings.device)?;
    let libraries = Libraries::load(settings.library.as_deref())?;
    Ok(Machine { version: libraries.version.clone(), gpu: device.gpu })
}

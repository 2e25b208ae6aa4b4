use std::time::Instant;

use super::device::Device;
use super::ffi::{Libraries, Options};
use super::run::TensorrtEngine;
use super::{Ahead, Machine, Prospect};
use crate::bundle::Bundle;
use crate::digest::sha256;
use crate::engine::{
    BuildMonitor, Engine, EngineError, EngineInfo, EngineSettings, Precision, Product, TensorrtError,
    TensorrtSettings,
};
use crate::golden::{self, Agreement};
use crate::store::engines::{Found, Gpu, Key, Record, Store, now};

/// An engine, and how well the golden frames agree with it.
type Proven = (Box<dyn Engine>, Agreement);

/// Opens and builds the engines of one bundle, with device, libraries and store at hand. Making it is quick.
struct Opener<'a> {
    /// None where plans are built for the GPU of another machine.
    device: Option<Device>,
    /// What plans are bound to.
    gpu: Gpu,
    product: Product,
    libraries: &'static Libraries,
    store: Store,
    bundle: &'a Bundle,
    settings: &'a EngineSettings,
}

impl<'a> Opener<'a> {
    /// With this machine's GPU.
    fn here(bundle: &'a Bundle, settings: &'a EngineSettings) -> Result<Self, TensorrtError> {
        let product = Product::of(settings.backend);
        Libraries::compiled(product)?;
        // The device first: without one TensorRT's factories hand out broken objects.
        let device = Device::open(settings.tensorrt.device)?;
        let gpu = bound(product, &device);
        Self::new(Some(device), gpu, bundle, settings)
    }

    fn new(
        device: Option<Device>,
        gpu: Gpu,
        bundle: &'a Bundle,
        settings: &'a EngineSettings,
    ) -> Result<Self, TensorrtError> {
        let product = Product::of(settings.backend);
        let libraries = Libraries::load(product, settings.tensorrt.library.as_deref())?;
        let store = Store::new(settings.tensorrt.store.as_deref());
        Ok(Self { device, gpu, product, libraries, store, bundle, settings })
    }

    fn key(&self, onnx: &[u8]) -> Key {
        Key {
            onnx: sha256(onnx),
            backend: self.product.to_string(),
            version: self.libraries.version.clone(),
            gpu: self.gpu.clone(),
            workspace: u64::from(self.settings.tensorrt.workspace_mib) << 20,
            level: self.settings.tensorrt.optimization_level,
        }
    }

    fn runtime(&self) -> String {
        format!("{} {}", self.product.title(), self.libraries.version)
    }

    fn info(&self, precision: Precision) -> EngineInfo {
        let device = self.device.as_ref().map_or(&self.gpu, |device| &device.gpu);
        EngineInfo {
            runtime: self.runtime(),
            provider: device.name.clone(),
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
        monitor: &BuildMonitor,
    ) -> Result<Proven, EngineError> {
        let onnx = self.bundle.model_file(precision.tensorrt_file())?;
        let key = self.key(&onnx);
        if !rebuild {
            match self.store.find(&key) {
                Found::Rejected(why) => return Err(EngineError::Rejected(why)),
                Found::Plan(plan) => match self.prove(&plan, precision) {
                    Err(error) if is_of_the_plan(&error) => {
                        tracing::warn!(%error, "the stored plan is not used; it is built again");
                    }
                    // A new plan would fail likewise, minutes later.
                    proven => return proven,
                },
                Found::Nothing => {}
            }
        }
        let begun = Instant::now();
        let plan = self.build(precision, &onnx, &key, monitor)?;
        let proven = self.prove(&plan, precision);
        let rejected = match &proven {
            Ok(_) => None,
            Err(error @ EngineError::Golden { .. }) => Some(error.to_string()),
            // The device's fault, not the plan's: nothing is known about it.
            Err(_) => return proven,
        };
        if let Err(error) = self.keep(key, precision, begun, &plan, rejected) {
            tracing::warn!(%error, "the plan is used and not kept: it will be built again");
        }
        proven
    }

    fn keep(
        &self,
        key: Key,
        precision: Precision,
        begun: Instant,
        plan: &[u8],
        rejected: Option<String>,
    ) -> Result<(), TensorrtError> {
        let record = Record {
            key,
            precision,
            model: self.bundle.model(),
            built: now(),
            seconds: begun.elapsed().as_secs_f64(),
            sha256: String::new(),
            bytes: 0,
            rejected,
        };
        let kept: &[u8] = if record.rejected.is_some() { &[] } else { plan };
        Ok(self.store.put(record, kept)?)
    }

    fn build(
        &self,
        precision: Precision,
        onnx: &[u8],
        key: &Key,
        monitor: &BuildMonitor,
    ) -> Result<Vec<u8>, TensorrtError> {
        let what = format!("{precision} engine of {}", self.bundle.model());
        tracing::info!(engine = %what, gpu = %self.gpu.name, "building; this can take minutes");
        let compute_capability = match self.product {
            Product::Tensorrt => 0,
            Product::Rtx => number(&self.gpu.compute_capability)?,
        };
        monitor.start(what);
        // TensorRT for RTX measures nothing: its timing cache is empty, and it takes none back.
        let measures = self.product == Product::Tensorrt;
        let timing = if measures { self.store.timing(key) } else { vec![] };
        let options = Options {
            workspace: key.workspace as usize,
            level: key.level,
            compute_capability,
            is_without_gpu: self.device.is_none(),
        };
        let bound = self.device.as_ref().map_or(Ok(()), Device::bind);
        let built = bound.and_then(|()| self.libraries.build(onnx, &options, &timing, monitor));
        monitor.finish();
        let (plan, grown) = built?;
        if measures
            && !grown.is_empty()
            && grown != timing
            && let Err(error) = self.store.put_timing(key, &grown)
        {
            tracing::warn!(%error, "the timing cache is not kept: the next build takes as long as this one");
        }
        Ok(plan)
    }

    fn prove(&self, plan: &[u8], precision: Precision) -> Result<Proven, EngineError> {
        let device = self.device.clone().ok_or(TensorrtError::NoDriver)?;
        let mut engine = TensorrtEngine::new(device, self.libraries, plan, self.info(precision))?;
        let agreement = golden::check(&mut engine, self.bundle)?;
        Ok((Box::new(engine), agreement))
    }
}

/// What plans of `product` on this device are bound to.
fn bound(product: Product, device: &Device) -> Gpu {
    match product {
        Product::Tensorrt => device.gpu.clone(),
        Product::Rtx => any_with(&device.gpu.compute_capability),
    }
}

/// Every GPU with this compute capability, as TensorRT for RTX builds for.
fn any_with(compute_capability: &str) -> Gpu {
    Gpu {
        name: format!("any GPU of compute capability {compute_capability}"),
        compute_capability: compute_capability.into(),
        multiprocessors: 0,
        driver: String::new(),
    }
}

/// 89 for 8.9.
fn number(compute_capability: &str) -> Result<i32, TensorrtError> {
    let parts = compute_capability.split_once('.').and_then(|(major, minor)| {
        let digit = |text: &str| text.parse::<u8>().ok().filter(|_| !text.starts_with('+'));
        Some((digit(major)?, digit(minor).filter(|&minor| minor < 10)?))
    });
    match parts {
        Some((major, minor)) if major > 0 => Ok(i32::from(major) * 10 + i32::from(minor)),
        _ => Err(TensorrtError::Target { asked: compute_capability.into() }),
    }
}

/// Whether a new plan may do what this one did not.
fn is_of_the_plan(error: &EngineError) -> bool {
    match error {
        // It was proven when it was built: whatever has changed since, a new one is due.
        EngineError::Golden { .. } => true,
        EngineError::Tensorrt(error) => error.is_of_the_plan(),
        _ => false,
    }
}

/// Opens the engine of the precision asked for, proven on the golden frames; builds it unless the store has it, or when
/// `rebuild` is true.
///
/// # Errors
/// When there is no device or library, TensorRT refuses the model, the build is cancelled, or the golden frames reject
/// the engine, now or when it was built.
pub fn open(
    bundle: &Bundle,
    settings: &EngineSettings,
    rebuild: bool,
    monitor: &BuildMonitor,
) -> Result<Proven, EngineError> {
    let opener = Opener::here(bundle, settings)?;
    // Before minutes are spent on a build.
    if bundle.golden()?.is_empty() {
        return Err(EngineError::NoGolden(bundle.path.clone()));
    }
    opener.open(settings.precision, rebuild, monitor)
}

/// Builds the plan of the precision asked for, for GPUs of `compute_capability` (such as `8.9`), on a machine that needs
/// none; into the store unless it is there, or when `rebuild` is true. The golden frames judge it where it is loaded.
///
/// # Errors
/// When the library is missing or another than TensorRT for RTX, it refuses the model or the compute capability, the
/// build is cancelled, or the plan cannot be kept.
pub fn build_ahead(
    bundle: &Bundle,
    settings: &EngineSettings,
    compute_capability: &str,
    rebuild: bool,
    monitor: &BuildMonitor,
) -> Result<Ahead, EngineError> {
    if Product::of(settings.backend) != Product::Rtx {
        return Err(TensorrtError::NotAhead.into());
    }
    number(compute_capability)?;
    let opener = Opener::new(None, any_with(compute_capability), bundle, settings)?;
    let onnx = bundle.model_file(settings.precision.tensorrt_file())?;
    let key = opener.key(&onnx);
    let was_built = !rebuild && matches!(opener.store.find(&key), Found::Plan(_));
    if !was_built {
        let begun = Instant::now();
        let plan = opener.build(settings.precision, &onnx, &key, monitor)?;
        opener.keep(key.clone(), settings.precision, begun, &plan, None)?;
    }
    Ok(Ahead { key, runtime: opener.runtime(), model: bundle.model(), was_built })
}

/// Brings device and libraries up and looks for a plan, without loading or building one.
///
/// # Errors
/// When there is no device or library, or the bundle has no model of the precision asked for.
pub fn probe(bundle: &Bundle, settings: &EngineSettings) -> Result<Prospect, EngineError> {
    let opener = Opener::here(bundle, settings)?;
    let key = opener.key(&bundle.model_file(settings.precision.tensorrt_file())?);
    let (is_built, rejected) = match opener.store.find(&key) {
        Found::Plan(_) => (true, None),
        Found::Rejected(why) => (false, Some(why)),
        Found::Nothing => (false, None),
    };
    Ok(Prospect { info: opener.info(settings.precision), key, is_built, rejected })
}

/// Brings device and libraries up, and says what they are.
///
/// # Errors
/// When there is no device or library.
pub fn machine(product: Product, settings: &TensorrtSettings) -> Result<Machine, TensorrtError> {
    Libraries::compiled(product)?;
    let device = Device::open(settings.device)?;
    let libraries = Libraries::load(product, settings.library.as_deref())?;
    Ok(Machine { product, version: libraries.version.clone(), gpu: bound(product, &device) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compute_capability_is_two_numbers_with_a_dot() {
        for (text, expected) in [("8.9", 89), ("7.5", 75), ("12.0", 120)] {
            assert_eq!(number(text).unwrap(), expected);
        }
        for text in
            ["", "8", "8.", ".9", "89", "8.10", "-8.9", "+8.9", "8.+9", "0.1", "8.9.1", "sm_89", "999.0"]
        {
            assert!(matches!(number(text), Err(TensorrtError::Target { .. })), "{text}");
        }
    }
}

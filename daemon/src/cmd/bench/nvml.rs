//! Energy of NVIDIA's graphics cards, as the driver's own library reports it. The counter was read on an H200, the sampled power
//! on none yet.

use std::ffi::OsStr;

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::cmd::bench::energy::Meter;

/// Starts to measure all GPUs of this machine: by the driver's counter, which every GPU since Volta has, or by sampling
/// its power. None without `library`, or where it has neither, as on a Jetson.
pub fn meter(library: impl AsRef<OsStr>) -> Option<Meter> {
    let nvml = Nvml::builder().lib_path(library.as_ref()).init().ok()?;
    if let Some(begun) = joules(&nvml) {
        return Some(Meter::Counted(Box::new(move || joules(&nvml).map_or(f64::NAN, |now| now - begun))));
    }
    watts(&nvml)?;
    Some(Meter::sampled(move || watts(&nvml).unwrap_or(f64::NAN)))
}

/// Since the driver was loaded.
fn joules(nvml: &Nvml) -> Option<f64> {
    sum(nvml, |gpu| Ok(gpu.total_energy_consumption()? as f64 / 1000.0))
}

fn watts(nvml: &Nvml) -> Option<f64> {
    sum(nvml, |gpu| Ok(f64::from(gpu.power_usage()?) / 1000.0))
}

/// Over all GPUs: which of them computes is not asked, and an idle one is part of what the machine takes.
fn sum(nvml: &Nvml, read: impl Fn(Device<'_>) -> Result<f64, NvmlError>) -> Option<f64> {
    let count = nvml.device_count().ok().filter(|&count| count > 0)?;
    (0..count).map(|index| read(nvml.device_by_index(index)?)).sum::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_energy_is_measured_without_the_library() {
        assert!(meter("libnvidia-ml.so.none").is_none());
    }
}

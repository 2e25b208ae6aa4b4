//! The engine alone, measured in a process of its own.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use nervelight_engines::{BuildMonitor, Precision, open_proven, plane};
use serde::{Deserialize, Serialize};

use crate::cmd::bench::energy::Meter;
#[cfg(feature = "nvidia")]
use crate::cmd::bench::nvml;
use crate::config::Config;
use crate::model;
use crate::status::Quantiles;

/// Frames before the measurement: caches fill, clocks rise.
const WARM_UP: usize = 10;
/// Seconds below which the energy of GPUs is not reported: the driver moves its counter some ten times a second.
const LEAST_FOR_ENERGY: f64 = 1.0;

/// The engine alone, one frame after the other.
#[derive(Debug, Serialize, Deserialize)]
pub struct Alone {
    pub runtime: String,
    pub provider: String,
    /// The precision that ran, after the golden frames had their say.
    pub precision: Precision,
    pub threads: usize,
    /// Time to open it; a build, where one was needed, is part of it.
    pub open_s: f64,
    pub frames: usize,
    /// Time of a frame, with its way to the device and back.
    pub ms: Quantiles,
    /// The device's own time.
    pub device_ms: Option<Quantiles>,
    pub frames_per_s: f64,
    /// The process at its largest.
    pub memory_mb: f64,
    /// In use on the device, by everybody.
    pub device_memory_mb: Option<f64>,
    /// Of the Jetson's module, or else of the CPU packages, the idle share included.
    pub joules_per_frame: Option<f64>,
    /// Of all NVIDIA graphics cards, which `joules_per_frame` leaves out, the idle share included; none where the engine does not
    /// run on one, or for less than a second.
    pub gpu_joules_per_frame: Option<f64>,
}

/// Opens the engine of `config` and measures `frames` frames, after some to warm up.
///
/// # Errors
/// What keeps it from being opened, or the frame that it fails on.
pub fn measure(config: &Config, frames: usize) -> Result<Alone> {
    let bundle = model::look(config)?;
    let begun = Instant::now();
    let (mut engine, _) = open_proven(&bundle, &config.engine, &BuildMonitor::default())?;
    let open_s = begun.elapsed().as_secs_f64();
    let mut crops: Vec<_> = bundle.golden()?.into_iter().map(|golden| golden.crop).collect();
    if crops.is_empty() {
        crops.push(plane());
    }
    let mut map = plane();
    for crop in crops.iter().cycle().take(WARM_UP) {
        engine.infer(crop, &mut map)?;
    }
    let (mut times, mut device) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
    let (meter, gpus) = (Meter::start(), config.engine.is_on_nvidia_gpu().then(start_gpus).flatten());
    let all = Instant::now();
    for crop in crops.iter().cycle().take(frames) {
        let begun = Instant::now();
        engine.infer(crop, &mut map)?;
        times.push(begun.elapsed());
        device.extend(engine.device_time());
    }
    let seconds = all.elapsed().as_secs_f64();
    let joules = meter.map(Meter::stop);
    let gpu_joules = gpus.map(Meter::stop).filter(|_| seconds >= LEAST_FOR_ENERGY);
    let info = engine.info();
    Ok(Alone {
        runtime: info.runtime.clone(),
        provider: info.provider.clone(),
        precision: info.precision,
        threads: info.threads,
        open_s,
        frames,
        ms: quantiles(&mut times),
        device_ms: (!device.is_empty()).then(|| quantiles(&mut device)),
        frames_per_s: frames as f64 / seconds,
        memory_mb: peak_memory_mb().unwrap_or(0.0),
        device_memory_mb: engine.device_memory().map(|bytes| bytes as f64 / 1e6),
        joules_per_frame: joules.map(|joules| joules / frames as f64),
        gpu_joules_per_frame: gpu_joules.map(|joules| joules / frames as f64),
    })
}

/// Starts to measure all NVIDIA GPUs of this machine together; none where the driver does not report it, as on a Jetson,
/// whose module's sensor has the GPU's share.
fn start_gpus() -> Option<Meter> {
    #[cfg(feature = "nvidia")]
    return nvml::meter("libnvidia-ml.so.1");
    #[cfg(not(feature = "nvidia"))]
    None
}

/// Nearest rank.
fn quantiles(times: &mut [Duration]) -> Quantiles {
    times.sort_unstable();
    let at = |q: f64| {
        let rank = (q * times.len() as f64).ceil().max(1.0) as usize;
        times.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    Quantiles { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) }
}

/// The largest this process has been, `VmHWM`.
fn peak_memory_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let q = quantiles(&mut times);
        assert_eq!((q.p50, q.p95, q.p99, q.max), (100.0, 190.0, 198.0, 200.0));
        let one = quantiles(&mut [Duration::from_millis(7)]);
        assert_eq!((one.p50, one.max), (7.0, 7.0));
    }
}

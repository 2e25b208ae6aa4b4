//! A run's trained network.

use anyhow::{Result, bail};
use tch::Device;

use super::run::{RunDir, Which};
use super::settings::Settings;
use crate::net::{Module, NumberFormat};
use crate::weights;

/// The run's trained network, 32-bit whatever it was trained in: the reference for every engine.
pub fn trained(run: &RunDir, settings: &Settings, which: Which, device: Device) -> Result<Module> {
    let path = run.checkpoint(which);
    if !path.exists() {
        let hint = match which {
            Which::Best => "train at least one epoch, or take --checkpoint last",
            Which::Last => "train first",
        };
        bail!("{}: no such checkpoint; {hint}", path.display());
    }
    let network = settings.network()?;
    let parameters = weights::whole(&network, &path)?;
    Ok(Module::new(network, parameters, 0, NumberFormat::Fp32, device))
}

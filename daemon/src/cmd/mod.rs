//! Subcommands, one file each.

pub mod bench;
pub mod build;
pub mod check;
mod energy;
pub mod engines;
#[cfg(feature = "nvidia")]
mod nvml;
pub mod options;
pub mod run;

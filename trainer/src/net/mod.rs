//! The network: its description, its parameters and what it computes.
//!
//! May use nothing of the other rooms.

mod cost;
mod fusion;
mod module;
mod network;
mod parameters;

pub use cost::Cost;
pub use fusion::{fuse, unfuse};
pub use module::{Module, NumberFormat};
pub use network::{FROZEN_CONVOLUTIONS, Layer, Network, Op};
pub use parameters::Parameters;

//! Synthetic frames as files: pictures in the layout of real data, or video.
//!
//! Uses `util` only.

pub mod clip;
mod stills;

pub use stills::{patient_seed, write_stills};

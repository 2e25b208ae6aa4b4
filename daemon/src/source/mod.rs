//! Where frames come from, and the slot they are taken from. It may use frames and the configuration.

mod colour;
mod damage;
pub mod device;
pub mod gstreamer;
pub mod phantom;
pub mod slot;
mod stamp;

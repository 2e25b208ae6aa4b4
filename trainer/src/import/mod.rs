//! Frames of cines as a data set: found, cropped, numbered by patient, written with a record of where each came from.
//!
//! Nothing about a patient is written: patients are numbers, files their digests.
//!
//! Uses `data` and `util`.

mod find;
mod numbers;
mod place;
mod record;
mod source;
mod video;
mod write;

pub use write::{Settings, import};

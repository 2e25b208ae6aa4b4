//! Frames of cines as a data set: found, cropped, numbered by patient, written with a record of where each came from. And
//! what carts kept, as drafts that a person reviews.
//!
//! Nothing about a patient is written: patients are numbers, files their digests.
//!
//! Uses `data` and `util`.

mod find;
mod harvest;
mod numbers;
mod place;
mod record;
mod source;
mod video;
mod write;

pub use harvest::{Taken, harvest};
pub use write::{Settings, import};

//! What knows neither networks nor data sets: random numbers, progress, tables, text, local pages.
//!
//! Uses none of the other rooms.

pub mod cuda;
#[cfg(test)]
pub mod full_disk;
mod gray;
pub mod local_page;
pub mod memory;
pub mod onnx_schema;
mod overlay;
mod progress;
mod rng;
mod table;
pub mod text;

pub use gray::{encode_gray, write_gray};
pub use nervelight_engines::digest::sha256;
pub use overlay::overlay;
pub use progress::Progress;
pub use rng::Rng;
pub use table::{csv_text, lines, table};

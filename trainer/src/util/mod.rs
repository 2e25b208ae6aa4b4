//! Helpers that know neither networks nor data sets: random numbers, progress, tables, text, local pages.
//!
//! Uses none of the other rooms.

mod atomic;
pub mod local_page;
pub mod memory;
pub mod onnx_schema;
mod overlay;
mod progress;
mod rng;
mod table;
pub mod text;

pub use atomic::write_atomically;
pub use nervelight_engines::bundle::hex as sha256;
pub use overlay::overlay;
pub use progress::Progress;
pub use rng::Rng;
pub use table::{csv_text, lines, table};

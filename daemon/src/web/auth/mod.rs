//! Who asks and what they may do. Each route names its least role in the OpenAPI document, and [`admit`] finds it there.

mod admit;
mod attempts;
pub mod caller;
pub mod gate;
mod keyed;
mod sessions;
pub mod token_file;
mod tokens;

pub use admit::{Admission, admit};
pub use caller::{Caller, Role};
pub use gate::{Gate, set_cookie};

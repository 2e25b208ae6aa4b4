//! A model's way onto the cart: verified, stored, built, proven, shown, watched, kept or sent back; and models that run on
//! spare time and are never shown. It may use the engines' store, values, inference and status; the supervisor does what it says.
//!
//! ```text
//! verifying -> staging -> building -> proving -> swapping -> probation -> kept
//!     |           |          |           |          |            |
//!     +--refused--+          +--failed---+----------+            +-> rolled back
//! ```

mod agreement;
mod behaviour;
mod beside;
mod deployment;
pub mod failure;
mod probation;
pub mod store;
mod watch;

pub use agreement::Agreement;
pub use behaviour::{Behaviour, History};
pub use beside::{Beside, Told};
pub use deployment::{Deployment, Happened, Task};
pub use probation::{Probation, Verdict};
pub use watch::{Answer, MapFacts, Watched, watch};

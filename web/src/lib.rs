//! What the pages of both programs share: who may ask ([`Guard`]), and how many connections are held, and for how long
//! ([`serve`]). It knows nothing of what a page shows.

mod guard;
mod serve;
mod watched;

pub use guard::Guard;
pub use serve::serve;

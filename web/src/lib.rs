//! What the pages of both programs share: who may ask ([`Guard`]), how many connections are held, and for how long
//! ([`serve`]), and how it is said what was not done ([`Problem`]). It knows nothing of what a page shows.

mod guard;
mod problem;
mod serve;
mod watched;

pub use guard::{Door, Guard};
pub use problem::{PROBLEM, Problem};
pub use serve::{Acceptor, Known, Peer, network, serve};

//! The network with random weights, which `net` has none of.

mod fusion;
mod module;

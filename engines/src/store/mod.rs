//! What is kept on disk for longer than a process lives.
//!
//! [`engines`] keeps engines that were built, [`bundles`] puts bundles into their places. [`unpack`] makes files of tars that
//! may come from anywhere. [`atomic`] is the only writer of files that must be whole, here and in both programs.
//!
//! Invariant: nothing in this folder opens an engine, or knows the library of a runtime.

pub mod atomic;
pub mod bundles;
pub mod engines;
pub mod unpack;

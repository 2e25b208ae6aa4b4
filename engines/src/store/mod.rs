//! What is kept on disk for longer than a process lives.
//!
//! [`models`] keeps bundles and knows which of them runs, [`engines`] keeps engines that were built, [`bundles`] puts bundles
//! into their places outside the store. [`unpack`] makes files of tars that may come from anywhere. [`atomic`] is the only
//! writer of files that must be whole, here and in both programs; [`disk`] is the file system below all of them.
//!
//! Invariant: nothing in this folder opens an engine, or knows the library of a runtime.

pub mod atomic;
pub mod bundles;
pub mod disk;
pub mod engines;
pub mod models;
pub mod unpack;

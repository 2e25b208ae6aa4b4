//! What is kept on disk for longer than a process lives.
//!
//! [`engines`] has plans that were built on this machine. [`atomic`] is the only writer of such files, here and in both programs.
//!
//! Invariant: nothing in this folder opens an engine or knows the library of a runtime.

pub mod atomic;
pub mod engines;

//! What is kept on disk for longer than a process lives.
//!
//! [`atomic`] is the only writer of such files, here and in both programs.
//!
//! Invariant: nothing in this folder opens an engine or knows a runtime's library.

pub mod atomic;

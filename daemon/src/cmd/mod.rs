//! Subcommands, one file each: they read arguments, ask the other rooms and print. This room may use all others, and none
//! uses it.

pub mod bench;
pub mod build;
pub mod cert;
pub mod check;
pub mod completions;
pub mod deploy;
pub mod engines;
pub mod harvest;
pub mod models;
pub mod options;
mod outside;
mod remote;
mod remote_models;
pub mod run;
pub mod token;
pub mod verify;

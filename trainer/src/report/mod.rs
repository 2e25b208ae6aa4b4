//! Reports as one HTML file: no script, no network, no other file.

mod charts;
mod curves;
mod page;
mod picture;

pub use page::{head, html};

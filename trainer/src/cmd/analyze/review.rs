//! `analyze review`: a person looks at masks that a model drew.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::analyze::review::{Session, serve};
use crate::data::drafts::Drafts;
use crate::util::local_page;

/// Beside that of `resolve`.
const DEFAULT_PORT: u16 = 8323;
/// Longer ones are no names.
const LONGEST_NAME: usize = 80;

/// Arguments of `analyze review`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  nervelight-train analyze review --data data/carts --reviewer \"A. Meyer\"

Opens a page on this machine that shows each draft that `import --harvest` took, by case: accept it, correct it with brush
and eraser, or reject it. Every decision is on the disk before the next draft appears, and a later start goes on where the
last one stopped. Accepted and corrected frames go to the folder train of the data, which `train` takes; drafts/review.jsonl
says who decided what and when.")]
pub struct Arguments {
    /// Data set with a folder of drafts
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Who decides; it stands beside every decision
    #[arg(long, value_name = "NAME", value_parser = name)]
    reviewer: String,
    /// Port of the page on 127.0.0.1; 0 = any that is free
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PORT)]
    port: u16,
}

fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(format!("must be a name of up to {LONGEST_NAME} letters"));
    }
    Ok(name.into())
}

/// Serves the page until it is stopped.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { data, reviewer, port } = arguments;
    let listener = local_page::bind("--port", *port)?;
    let drafts = Drafts::find(data)?.with_context(|| {
        format!("{}: has no drafts; `nervelight-train import --harvest` makes them", data.display())
    })?;
    let session = Session::open(data, drafts, reviewer)?;
    outln!("{} drafts, {} of them reviewed", session.drafts().len(), session.reviewed());
    serve(listener, session)
}

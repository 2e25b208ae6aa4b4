//! What a person sees of a deployment: a bar a cart on a terminal, lines elsewhere, a table at the end.

use std::cell::RefCell;
use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nervelight_engines::Bundle;
use serde::Serialize;
use serde_json::json;

use crate::redact::redact;

/// Per mille of an upload between two lines.
const BETWEEN_LINES: u64 = 250;

/// One cart at the end.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its address.
    pub cart: String,
    /// What became of it, in a word.
    pub outcome: &'static str,
    /// Whether that was wanted.
    pub is_good: bool,
    /// How long it took.
    pub seconds: f64,
    /// Why, if it was not.
    pub message: String,
}

/// All carts.
pub struct Board {
    carts: Vec<String>,
    bytes: u64,
    bars: Vec<ProgressBar>,
    all: MultiProgress,
    /// What was said of each last.
    said: RefCell<Vec<String>>,
    is_terminal: bool,
    json: bool,
}

impl Board {
    /// Of these carts, which are sent so many bytes each.
    ///
    /// # Errors
    /// Never; the bars' template is checked.
    pub fn new(carts: Vec<String>, bytes: u64, json: bool) -> Result<Self> {
        let is_terminal = std::io::stderr().is_terminal();
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {percent:>3} % {wide_msg}")?;
        let longest = carts.iter().map(String::len).max().unwrap_or(0);
        let bars = carts
            .iter()
            .map(|cart| {
                let bar = if is_terminal { ProgressBar::new(1000) } else { ProgressBar::hidden() };
                bar.set_style(style.clone());
                bar.set_prefix(format!("{cart:longest$}"));
                if is_terminal { all.add(bar) } else { bar }
            })
            .collect();
        let said = RefCell::new(vec![String::new(); carts.len()]);
        Ok(Self { carts, bytes, bars, all, said, is_terminal, json })
    }

    /// Something that concerns all, or will be needed later.
    pub fn say(&self, text: &str) {
        match self.is_terminal {
            true => {
                let _ = self.all.println(text);
            }
            false => errln!("{text}"),
        }
    }

    /// So many bytes are there.
    pub fn sent(&self, cart: usize, bytes: u64) {
        let mille = bytes * 1000 / self.bytes.max(1);
        self.bars[cart].set_position(mille);
        self.bars[cart].set_message("sending");
        self.line(cart, &format!("sending, {} %", mille / BETWEEN_LINES * BETWEEN_LINES / 10));
    }

    /// A step of the deployment, and how far it is.
    pub fn step(&self, cart: usize, state: &str, progress: Option<f64>) {
        self.bars[cart]
            .set_position(progress.map_or(1000, |progress| (progress.clamp(0.0, 1.0) * 1000.0) as u64));
        self.bars[cart].set_message(state.replace('_', " "));
        self.line(cart, &state.replace('_', " "));
    }

    /// It waits for the cart.
    pub fn waits(&self, cart: usize, why: &str) {
        let why = redact(why);
        self.bars[cart].set_message(format!("tries again: {why}"));
        self.line(cart, &format!("tries again: {why}"));
    }

    /// It is over.
    pub fn ended(&self, cart: usize, outcome: &str) {
        self.bars[cart].set_position(1000);
        self.bars[cart].finish_with_message(outcome.to_owned());
        self.line(cart, outcome);
    }

    /// The table, or the same as JSON.
    ///
    /// # Errors
    /// Never; what is printed can be written as JSON.
    pub fn finish(&self, bundle: &Bundle, rows: Vec<Row>) -> Result<()> {
        if self.json {
            let manifest = &bundle.manifest;
            let value = json!({
                "name": manifest.name, "version": manifest.version, "serial": manifest.serial, "digest": bundle.digest,
                "carts": rows,
            });
            outln!("{}", serde_json::to_string_pretty(&value)?);
            return Ok(());
        }
        let longest = rows.iter().map(|row| row.cart.len()).max().unwrap_or(0);
        for Row { cart, outcome, seconds, message, .. } in &rows {
            outln!(
                "{}",
                format!("{cart:longest$}  {outcome:<12}{seconds:>7.1} s  {}", redact(message)).trim_end()
            );
        }
        Ok(())
    }

    /// Says something new about a cart where there are no bars.
    fn line(&self, cart: usize, text: &str) {
        let mut said = self.said.borrow_mut();
        if !self.is_terminal && said[cart] != text {
            errln!("{}: {text}", self.carts[cart]);
            said[cart] = text.into();
        }
    }
}

//! Reading TOML settings so that every mistake is reported at once, with its place and a remedy.

mod places;
mod problem;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;

use places::{Setting, line, settings};
pub use problem::{Problem, Problems};

/// Bytes of a settings file, at most.
const LARGEST: u64 = 64 << 20;
/// More mistakes than these are counted, not described.
const MOST: usize = 20;

/// Reads a `T` from the TOML file at `path`. `T` should deny unknown fields and have a default for
/// every key, so that one missing key hides no other mistake; `check` then judges the values.
///
/// # Errors
/// Every unknown key, wrong type and problem that `check` finds.
pub fn read<T: DeserializeOwned>(path: &Path, check: impl FnOnce(&T) -> Vec<Problem>) -> Result<T, Problems> {
    read_text(path, &text(path)?, check)
}

/// The text of the file at `path`, for [`read_text`].
///
/// # Errors
/// When it cannot be read.
pub fn text(path: &Path) -> Result<String, Problems> {
    let read = || {
        let file = fs::metadata(path)?;
        // A FIFO would be waited for, a device be read for ever.
        if !file.is_file() || file.len() > LARGEST {
            return Err(io::Error::other(format!("it is no file of up to {LARGEST} bytes")));
        }
        fs::read_to_string(path)
    };
    read().map_err(|e| {
        let message = format!("cannot be read: {e}. Check the path and its permissions");
        Problems { path: path.into(), list: vec![Problem { line: None, key: None, message }], more: 0 }
    })
}

/// [`read`] of a `text` that was read from `path` before.
///
/// # Errors
/// The errors of [`read`].
pub fn read_text<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    check: impl FnOnce(&T) -> Vec<Problem>,
) -> Result<T, Problems> {
    let places = settings(text);
    let Parsed { value, mut problems, mut more } = parse::<T>(text, &places);
    if let Some(value) = &value {
        let lines: HashMap<_, _> = places.iter().map(|s| (s.key.as_str(), s.range.start)).collect();
        for mut problem in check(value) {
            // A key that was blanked out has its own message already.
            if problems.iter().any(|known| known.key.is_some() && known.key == problem.key) {
                continue;
            }
            if problems.len() >= MOST {
                more += 1;
                continue;
            }
            let place = problem.key.as_ref().and_then(|key| lines.get(key.as_str()));
            problem.line = place.map(|&at| line(text, at));
            problems.push(problem);
        }
    }
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(Problems { path: path.into(), list: problems, more }),
    }
}

/// What could be read of a text, and its mistakes.
struct Parsed<T> {
    value: Option<T>,
    problems: Vec<Problem>,
    more: usize,
}

/// The deserializer stops at its first mistake; each one found is blanked out and the text read again, until it holds
/// no more, or enough were found. What is left is returned with the mistakes. `places` has every setting of `text`.
fn parse<T: DeserializeOwned>(text: &str, places: &[Setting]) -> Parsed<T> {
    // Blanked out byte by byte, so that every place stays where it is.
    let mut bytes = text.as_bytes().to_vec();
    let (mut problems, mut more) = (vec![], 0);
    let value = loop {
        let error: toml::de::Error = match str::from_utf8(&bytes).map(toml::from_str) {
            Ok(Ok(value)) => break Some(value),
            Ok(Err(error)) => error,
            // What is blanked out begins and ends between characters.
            Err(_) => break None,
        };
        let at = error.span().unwrap_or(0..0);
        let setting = places.iter().filter(|s| s.range.contains(&at.start)).min_by_key(|s| s.range.len());
        // A syntax error belongs to no setting, and would only breed others.
        let Some(setting) = setting else {
            problems.push(syntax(text, at, error.message()));
            break None;
        };
        if problems.len() >= MOST {
            more += 1;
            break None;
        }
        // A table's unknown keys are found together: reading the text once for each would take too long.
        let unknown = Unknown::of(error.message());
        let found: Vec<(&Setting, usize, String)> = match &unknown {
            Some(unknown) if setting.name == unknown.name => {
                let same =
                    places.iter().filter(|s| s.table == setting.table && !unknown.known.contains(&&*s.name));
                same.map(|s| (s, s.range.start, unknown.message(&s.name))).collect()
            }
            _ => vec![(setting, at.start, error.message().to_owned())],
        };
        for (setting, at, message) in found {
            bytes[setting.range.clone()]
                .iter_mut()
                .filter(|byte| **byte != b'\n')
                .for_each(|byte| *byte = b' ');
            if problems.len() >= MOST {
                more += 1;
                continue;
            }
            let (line, key) = (Some(line(text, at)), Some(setting.key.clone()));
            problems.push(Problem { line, key, message: remedy(&message) });
        }
    };
    problems.sort_by_key(|p| p.line);
    Parsed { value, problems, more }
}

/// The parts of the message "unknown field `nam`, expected `name` or `engine`".
struct Unknown<'a> {
    name: &'a str,
    rest: &'a str,
    known: Vec<&'a str>,
}

impl<'a> Unknown<'a> {
    fn of(message: &'a str) -> Option<Self> {
        let (name, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
        Some(Self { name, rest, known: rest.split('`').skip(1).step_by(2).collect() })
    }

    /// The same of another field.
    fn message(&self, name: &str) -> String {
        format!("unknown field `{name}`{}", self.rest)
    }
}

/// A mistake that keeps the text from being TOML.
fn syntax(text: &str, at: Range<usize>, message: &str) -> Problem {
    let found = Some(line(text, at.start));
    if !message.contains("duplicate key") {
        return Problem { line: found, key: None, message: remedy(message) };
    }
    let name = text.get(at.clone()).unwrap_or_default().trim();
    let line_start = text[..at.start].rfind('\n').map_or(0, |i| i + 1);
    let is_header = text[line_start..].trim_start().starts_with('[');
    let mut lines = text[..line_start].lines().rev().filter(|_| !is_header);
    let table =
        lines.find_map(|line| Some(line.trim().strip_prefix('[')?.split(']').next()?.trim_matches('[')));
    let key = table.map_or(name.to_owned(), |table| format!("{table}.{name}"));
    Problem {
        line: found,
        key: Some(key),
        message: "is set twice (duplicate key). Remove one of the two".into(),
    }
}

fn remedy(message: &str) -> String {
    let message = message.trim().replace('`', "\"").replace('\n', "; ");
    if message.starts_with("unknown field") {
        format!("{message}. Correct the key's spelling or remove it")
    } else if message.starts_with("unknown variant") || message.starts_with("invalid") {
        format!("{message}. Change the value")
    } else {
        message
    }
}

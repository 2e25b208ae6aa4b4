//! Reading TOML settings so that every mistake is reported at once, with its place and a remedy.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Bytes of a settings file, at most.
const LARGEST: u64 = 64 << 20;

/// One mistake in a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; none for a mistake that is not at one place.
    pub line: Option<usize>,
    /// The key with its table, such as `engine.threads`, where it is known.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A mistake in the value of `key`.
    pub fn at(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, key: Some(key.into()), message: message.into() }
    }
}

/// More mistakes than these are counted, not described.
const MOST: usize = 20;

/// The mistakes in a settings file.
#[derive(Debug, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub path: PathBuf,
    /// Its mistakes, in the order found.
    pub list: Vec<Problem>,
    /// How many more there are that are not described.
    pub more: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}", self.path.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if let Some(key) = &problem.key {
                write!(f, ": {key}")?;
            }
            write!(f, ": {}", problem.message)?;
        }
        match self.more {
            0 => Ok(()),
            more => {
                write!(f, "\n{}: ... and {more} more, at least. Correct these first", self.path.display())
            }
        }
    }
}

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
/// As of [`read`].
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

/// A key with its value, or a whole table, in the text.
struct Setting {
    key: String,
    /// The last part of the key.
    name: String,
    /// The key of the table that it is in, without the indices of arrays: such tables have the same keys.
    table: String,
    range: Range<usize>,
}

/// Every setting in `text`, in order, as far as it can be parsed.
fn settings(text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    if let Ok(document) = DeTable::parse(text) {
        walk(text, "", "", document.get_ref(), &mut found);
    }
    found.sort_by_key(|setting| setting.range.start);
    found
}

fn walk(text: &str, prefix: &str, kind: &str, table: &DeTable<'_>, found: &mut Vec<Setting>) {
    for (name, value) in table {
        let below = |prefix: &str| match prefix {
            "" => name.get_ref().to_string(),
            _ => format!("{prefix}.{}", name.get_ref()),
        };
        let (key, own_kind) = (below(prefix), below(kind));
        let start = name.span().start;
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let is_header = text[line_start..start].trim_start().starts_with('[');
        let range = if is_header {
            let end = text[start..].find("\n[").map_or(text.len(), |next| start + next);
            line_start..end
        } else {
            start..value.span().end
        };
        match value.get_ref() {
            DeValue::Table(table) => walk(text, &key, &own_kind, table, found),
            DeValue::Array(array) => {
                for (i, item) in array.iter().enumerate() {
                    if let DeValue::Table(table) = item.get_ref() {
                        walk(text, &format!("{key}[{i}]"), &own_kind, table, found);
                    }
                }
            }
            _ => {}
        }
        found.push(Setting { key, name: name.get_ref().to_string(), table: kind.to_owned(), range });
    }
}

/// The line, from 1, that holds the byte `at`.
fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Settings {
        name: String,
        engine: Engine,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Engine {
        threads: u8,
        list: Vec<u8>,
    }

    fn read_text(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, text).unwrap();
        let check = |s: &Settings| match s.engine.threads {
            99 => vec![Problem::at("engine.threads", "99 is too many; use 1 to 64")],
            _ => vec![],
        };
        let place = format!("{}:", file.path().display());
        read(file.path(), check).map_err(|e| e.to_string().replace(&place, ""))
    }

    #[test]
    fn good_settings_are_read() {
        let settings = read_text("name = \"a\"\n[engine]\nthreads = 2\nlist = [\n 1,\n 2]\n").unwrap();
        assert_eq!((settings.name.as_str(), settings.engine.threads), ("a", 2));
        assert_eq!(settings.engine.list, [1, 2]);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error =
            read_text("nam = 1\nname = 2\n[engine]\nthreads = \"x\"\nlist = [\n 1,\n \"b\"]\n").unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(lines[0].starts_with("1: nam: unknown field"), "{error}");
        assert!(lines[1].starts_with("2: name: invalid type"), "{error}");
        assert!(lines[2].starts_with("4: engine.threads: invalid type"), "{error}");
        assert!(lines[3].starts_with("7: engine.list: invalid type"), "{error}");
    }

    #[test]
    fn an_unknown_table_hides_no_other_mistake() {
        let error = read_text("name = 1\n[enigne]\nthreads = 1\n[engine]\nthreads = -1\n").unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 3, "{error}");
        assert!(error.contains("2: enigne: unknown field"), "{error}");
        assert!(error.contains("5: engine.threads: invalid value"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_is_named_with_its_line() {
        let error = read_text("[engine]\n# threads = 1\nthreads = 99\n").unwrap_err();
        assert_eq!(error, "3: engine.threads: 99 is too many; use 1 to 64");
        let error = read_text("name = 1\n[engine]\nthreads = 99\n").unwrap_err();
        assert_eq!(error.lines().count(), 2, "a wrong type hides no wrong value: {error}");
    }

    #[test]
    fn a_mountain_of_mistakes_is_counted_at_once() {
        let mut text = String::new();
        for n in 0..300_000 {
            text += &format!("key{n} = {n}\n");
        }
        let begun = std::time::Instant::now();
        let error = read_text(&text).unwrap_err();
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), MOST + 1, "{error}");
        assert!(lines[0].starts_with("1: key0: unknown field \"key0\", expected"), "{error}");
        assert!(lines[19].starts_with("20: key19: unknown field \"key19\", expected"), "{error}");
        assert!(error.contains("... and 299980 more"), "{error}");
    }

    #[test]
    fn a_key_that_is_set_twice_is_named() {
        let error = read_text("name = \"a\"\n[engine]\nthreads = 1\nlist = []\nthreads = 2\n").unwrap_err();
        assert!(error.starts_with("5: engine.threads: is set twice (duplicate key)"), "{error}");
        let error = read_text("name = \"a\"\nname = \"b\"\n").unwrap_err();
        assert!(error.starts_with("2: name: is set twice"), "{error}");
        let error = read_text("[engine]\nthreads = 1\n[engine]\n").unwrap_err();
        assert!(error.starts_with("3: engine: is set twice"), "{error}");
    }

    #[test]
    fn what_is_not_ascii_keeps_its_place() {
        let error = read_text("\"näme é\" = 1\n[engine]\nthreads = \"ü\"\n").unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert!(lines[0].starts_with("1: näme é: unknown field"), "{error}");
        assert!(lines.len() == 2 && lines[1].starts_with("3: engine.threads: invalid type"), "{error}");
    }

    #[test]
    fn syntax_errors_and_absent_files_are_errors() {
        assert!(read_text("[engine\nthreads = 1\n").is_err());
        let error = read::<Settings>(Path::new("/no/such.toml"), |_| vec![]).unwrap_err().to_string();
        assert!(error.contains("/no/such.toml") && error.contains("cannot be read"), "{error}");
    }
}

//! Reading TOML settings so that every mistake is reported at once, with its place and a remedy.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

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

/// Every mistake in a settings file.
#[derive(Debug, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub path: PathBuf,
    /// Its mistakes, in the order found.
    pub list: Vec<Problem>,
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
        Ok(())
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
    fs::read_to_string(path).map_err(|e| {
        let message = format!("cannot be read: {e}. Check the path and its permissions");
        Problems { path: path.into(), list: vec![Problem { line: None, key: None, message }] }
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
    let (value, mut problems) = parse::<T>(text);
    if let Some(value) = &value {
        let settings = settings(text);
        for mut problem in check(value) {
            // A key that was blanked out has its own message already.
            if problems.iter().any(|known| known.key.is_some() && known.key == problem.key) {
                continue;
            }
            let place = settings.iter().find(|s| problem.key.as_ref() == Some(&s.key));
            problem.line = place.map(|s| line(text, s.range.start));
            problems.push(problem);
        }
    }
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(Problems { path: path.into(), list: problems }),
    }
}

/// The deserializer stops at its first mistake; each one found is blanked out and the text read
/// again, until it holds no more. What is left is returned with the mistakes.
fn parse<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Problem>) {
    let mut text = text.to_owned();
    let mut problems = Vec::new();
    let value = loop {
        let error = match toml::from_str(&text) {
            Ok(value) => break Some(value),
            Err(error) => error,
        };
        let at = error.span().unwrap_or(0..0).start;
        let setting =
            settings(&text).into_iter().filter(|s| s.range.contains(&at)).min_by_key(|s| s.range.len());
        problems.push(Problem {
            line: Some(line(&text, at)),
            key: setting.as_ref().map(|s| s.key.clone()),
            message: remedy(error.message()),
        });
        // A syntax error belongs to no setting, and would only breed others.
        let Some(Setting { range, .. }) = setting else { break None };
        let blank = text[range.clone()].replace(|c| c != '\n', " ");
        text.replace_range(range, &blank);
    };
    problems.sort_by_key(|p| p.line);
    (value, problems)
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
    range: Range<usize>,
}

/// Every setting in `text`, as far as it can be parsed.
fn settings(text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    if let Ok(document) = DeTable::parse(text) {
        walk(text, "", document.get_ref(), &mut found);
    }
    found
}

fn walk(text: &str, prefix: &str, table: &DeTable<'_>, found: &mut Vec<Setting>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        let start = name.span().start;
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let is_header = text[line_start..start].trim_start().starts_with('[');
        let range = match text[start..].find("\n[") {
            Some(next) if is_header => line_start..start + next,
            None if is_header => line_start..text.len(),
            _ => start..value.span().end,
        };
        match value.get_ref() {
            DeValue::Table(table) => walk(text, &key, table, found),
            DeValue::Array(array) => {
                for (i, item) in array.iter().enumerate() {
                    if let DeValue::Table(table) = item.get_ref() {
                        walk(text, &format!("{key}[{i}]"), table, found);
                    }
                }
            }
            _ => {}
        }
        found.push(Setting { key, range });
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
    fn syntax_errors_and_absent_files_are_errors() {
        assert!(read_text("[engine\nthreads = 1\n").is_err());
        let error = read::<Settings>(Path::new("/no/such.toml"), |_| vec![]).unwrap_err().to_string();
        assert!(error.contains("/no/such.toml") && error.contains("cannot be read"), "{error}");
    }
}

//! Where each setting of a TOML text begins and ends.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A key with its value, or a whole table, in the text.
pub struct Setting {
    pub key: String,
    /// The last part of the key.
    pub name: String,
    /// The key of the table that it is in, without the indices of arrays: such tables have the same keys.
    pub table: String,
    pub range: Range<usize>,
}

/// Every setting in `text`, in order, as far as it can be parsed.
pub fn settings(text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    if let Ok(document) = DeTable::parse(text) {
        let lines: Vec<usize> =
            [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        walk(text, &lines, "", "", document.get_ref(), &mut found);
    }
    found.sort_by_key(|setting| setting.range.start);
    found
}

/// `lines` are the places where the text's lines begin.
fn walk(
    text: &str,
    lines: &[usize],
    prefix: &str,
    kind: &str,
    table: &DeTable<'_>,
    found: &mut Vec<Setting>,
) {
    for (name, value) in table {
        let below = |prefix: &str| match prefix {
            "" => name.get_ref().to_string(),
            _ => format!("{prefix}.{}", name.get_ref()),
        };
        let (key, own_kind) = (below(prefix), below(kind));
        let start = name.span().start;
        // Searching back from each key would take the square of a long line's length.
        let line_start = lines[lines.partition_point(|&line| line <= start) - 1];
        let is_header = text[line_start..start].trim_start().starts_with('[');
        let range = if is_header {
            let end = text[start..].find("\n[").map_or(text.len(), |next| start + next);
            line_start..end
        } else {
            start..value.span().end
        };
        match value.get_ref() {
            DeValue::Table(table) => walk(text, lines, &key, &own_kind, table, found),
            DeValue::Array(array) => {
                for (i, item) in array.iter().enumerate() {
                    if let DeValue::Table(table) = item.get_ref() {
                        walk(text, lines, &format!("{key}[{i}]"), &own_kind, table, found);
                    }
                }
            }
            _ => {}
        }
        found.push(Setting { key, name: name.get_ref().to_string(), table: kind.to_owned(), range });
    }
}

/// The line, from 1, that holds the byte `at`.
pub fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

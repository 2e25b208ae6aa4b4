//! Mistakes in files, and what is said of them.

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
fn a_mountain_of_keys_on_one_line_is_read_at_once() {
    let keys: Vec<_> = (0..200_000).map(|n| format!("key{n} = {n}")).collect();
    let begun = std::time::Instant::now();
    let error = read_text(&format!("engine = {{ {} }}\n", keys.join(", "))).unwrap_err();
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert!(error.starts_with("1: engine.key0: unknown field"), "{error}");
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

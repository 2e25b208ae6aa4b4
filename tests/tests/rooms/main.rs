//! Rules of the source that no compiler checks: which room may use which, no cycle between files, no long file, and docs
//! that name only files that are there. Each test says how to satisfy it.
#![allow(clippy::unwrap_used)]

mod docs;
mod source;
mod table;

use std::fs;
use std::path::Path;

use nervelight_tests::root;
use source::{Source, files};
use table::{CRATES, CYCLES, Crate, LONG, LONGEST};

/// What a crate does against its table.
fn misdirected(source: &Source, rooms: &[(&str, &[&str])]) -> Vec<String> {
    let allowed = |room: &str| rooms.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
    let mut mistakes = vec![];
    for room in source.rooms() {
        if allowed(room).is_none() {
            mistakes.push(format!("room {room} is not in the table: add a line that says what it may use"));
        }
    }
    for (room, uses) in rooms {
        for name in [room].into_iter().chain(*uses).filter(|name| !source.rooms().contains(**name)) {
            mistakes.push(format!("the table names {name}, which is no room: remove it"));
        }
    }
    for (file, from, to) in source.crossings() {
        if !allowed(from).is_some_and(|uses| uses.contains(&to)) {
            mistakes.push(format!("{}: {from} may not use {to}", file.display()));
        }
    }
    mistakes.dedup();
    mistakes
}

/// Files that are longer than they may be, and exceptions that are not needed any more.
fn long(root: &Path, allowed: &[(&str, &str)]) -> Vec<String> {
    let mut mistakes = vec![];
    let mut seen = vec![];
    for path in files(root, &|path| path.extension().is_some_and(|e| e == "rs")) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let is_allowed = allowed.iter().any(|(allowed, _)| *allowed == name);
        if lines > LONGEST && !is_allowed {
            mistakes.push(format!("{name} has {lines} lines: split it at its second subject"));
        }
        if lines > LONGEST {
            seen.push(name);
        }
    }
    let stale = allowed.iter().filter(|(name, _)| !seen.iter().any(|seen| seen == name));
    mistakes.extend(stale.map(|(name, _)| format!("{name} is not long any more: remove it from LONG")));
    mistakes
}

fn sources() -> impl Iterator<Item = (&'static Crate, Source)> {
    CRATES.iter().map(|of| (of, Source::read(&root().join(of.folder).join("src"))))
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let of_crate = |(of, source): (&Crate, Source)| {
        let mistakes = misdirected(&source, of.rooms);
        mistakes.into_iter().map(|mistake| format!("{}: {mistake}", of.folder)).collect::<Vec<_>>()
    };
    let mistakes: Vec<_> = sources().flat_map(of_crate).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let mut mistakes = vec![];
    for (of, source) in sources() {
        let allowed: Vec<_> = CYCLES.iter().filter(|(folder, ..)| *folder == of.folder).collect();
        let edges: Vec<_> = allowed.iter().map(|(_, from, to, _)| (*from, *to)).collect();
        let circles = source.cycles(&edges);
        mistakes.extend(circles.iter().map(|circle| format!("{}: {circle:?}", of.folder)));
        for left_out in &edges {
            let others: Vec<_> = edges.iter().filter(|edge| *edge != left_out).copied().collect();
            if source.cycles(&others) == circles {
                let (from, to) = left_out;
                mistakes.push(format!("{from} -> {to} makes no circle any more: remove it from CYCLES"));
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn no_file_is_long() {
    let mistakes = long(&root(), LONG);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn docs_name_only_files_that_are_there() {
    let mistakes = docs::absent(&root(), table::GONE);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn the_rules_can_be_broken() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("src/main.rs", "mod a; mod b; mod c; fn main() { crate::b::go(); }");
    write("src/a/mod.rs", "mod in_a; use in_a::X; pub struct Y; // use crate::c::Comment;\n");
    write("src/a/in_a.rs", "use super::Y; use crate::b::{self, deep::D}; pub struct X;");
    write(
        "src/b/mod.rs",
        "pub mod deep; pub use deep::D; #[cfg(test)] mod tests { use super::*; use super::super::c::C; }",
    );
    write("src/b/deep.rs", "pub struct D; const S: &str = \"crate::a\"; fn f() { g!(\"{}\", crate::a::Y) }");
    write("src/c.rs", "pub struct C;");
    let source = Source::read(&folder.path().join("src"));

    let good: [(&str, &[&str]); 3] = [("a", &["b"]), ("b", &["a", "c"]), ("c", &[])];
    assert!(misdirected(&source, &good).is_empty(), "{:?}", misdirected(&source, &good));
    let bad: [(&str, &[&str]); 3] = [("a", &[]), ("b", &["a"]), ("d", &[])];
    let said = misdirected(&source, &bad);
    for words in ["a/in_a.rs: a may not use b", "b/mod.rs: b may not use c", "room c is not", "names d,"] {
        assert!(said.iter().any(|mistake| mistake.contains(words)), "{words:?} is missing in {said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");

    // The child names what its parent has, which is no circle; through another room it is one.
    let circle = ["a/in_a.rs", "a/mod.rs", "b/deep.rs", "b/mod.rs"].map(Path::new);
    assert_eq!(source.cycles(&[]).into_iter().collect::<Vec<_>>(), [circle]);
    assert!(source.cycles(&[("b/deep.rs", "a/mod.rs")]).is_empty());

    write("long.rs", &"//\n".repeat(LONGEST + 1));
    write("short.rs", &"//\n".repeat(LONGEST));
    write("target/built.rs", &"//\n".repeat(LONGEST + 1));
    let said = long(folder.path(), &[("short.rs", "it was long")]);
    assert!(
        said.len() == 2 && said[0].starts_with("long.rs has 401") && said[1].starts_with("short.rs"),
        "{said:?}"
    );
    assert!(long(folder.path(), &[("long.rs", "a list")]).is_empty());

    write(
        "README.md",
        "`main.rs` `a/in_a.rs`, `gone.rs` [x](docs/gone.md) `x.json`\n```\n`b.rs`\n```\n`../src/c.rs`",
    );
    write(
        "docs/x.md",
        "[r](../README.md#top) [s](https://example.org/gone.md) `src/gone.toml` `old.rs` `any *.rs`",
    );
    let said = docs::absent(folder.path(), &["old.rs", "c.rs"]);
    let expected = ["README.md: gone.rs", "README.md: docs/gone.md", "docs/x.md: src/gone.toml", "c.rs is"];
    for words in expected {
        assert!(said.iter().any(|mistake| mistake.contains(words)), "{words:?} is missing in {said:?}");
    }
    assert_eq!(said.len(), expected.len(), "{said:?}");
}

//! The files that the docs name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source::files;

/// Endings of files that only the repository has; a user has files of the others too.
const OWN: [&str; 4] = ["rs", "cpp", "h", "sh"];
/// The same of files that a path with a folder names.
const OWN_IN_FOLDERS: [&str; 8] = ["rs", "cpp", "h", "sh", "toml", "md", "js", "css"];

/// What the docs of the repository at `root` name and is not there. `gone` are names that may be left for now.
pub fn absent(root: &Path, gone: &[&str]) -> Vec<String> {
    let there: Vec<PathBuf> = files(root, &|_| true);
    let mut docs: Vec<_> =
        files(&root.join("docs"), &|path| path.extension().is_some_and(|extension| extension == "md"));
    docs.push(root.join("README.md"));
    docs.sort();
    let (mut mistakes, mut left) = (vec![], vec![]);
    for doc in docs {
        let shown = doc.strip_prefix(root).unwrap().display();
        let text = fs::read_to_string(&doc).unwrap();
        for name in names(&text) {
            // By the end of its path, as people name files.
            let is_there = there.iter().any(|file| file.ends_with(name.trim_start_matches("../")));
            match gone.contains(&name) {
                true if !is_there => left.push(name.to_owned()),
                false if !is_there => mistakes.push(format!("{shown}: {name} is not there. Name what is")),
                _ => {}
            }
        }
        for link in links(&text) {
            if !doc.with_file_name(link).exists() {
                mistakes.push(format!("{shown}: {link} is not there. Correct the link"));
            }
        }
    }
    let stale = gone.iter().filter(|name| !left.iter().any(|left| left == *name));
    mistakes
        .extend(stale.map(|name| format!("{name} is not named any more, or is back: remove it from GONE")));
    mistakes
}

/// Names of files between backticks, outside of blocks of code.
fn names(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let quoted = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let is_name = |word: &&str| {
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        let endings: &[&str] = if word.contains('/') { &OWN_IN_FOLDERS } else { &OWN };
        let ending = word.rsplit_once('.').map(|(_, ending)| ending);
        is_plain && !word.starts_with('/') && ending.is_some_and(|ending| endings.contains(&ending))
    };
    quoted.filter(is_name).collect()
}

/// Links to files beside or below a doc, without the place in them.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

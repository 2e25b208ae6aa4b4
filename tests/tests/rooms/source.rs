//! The files of a crate, and which of the crate's own files each of them names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module's path from the crate's root, which has none.
pub type Module = Vec<String>;

/// One crate's source.
pub struct Source {
    /// Each file and its module.
    pub files: BTreeMap<PathBuf, Module>,
    /// What each file names: the file and the path as written from the root.
    pub names: BTreeMap<PathBuf, BTreeSet<(PathBuf, Module)>>,
}

impl Source {
    /// Reads the crate whose root is in the folder `src`. Paths are relative to it.
    pub fn read(src: &Path) -> Self {
        let files: BTreeMap<_, _> = files(src, &|path| path.extension().is_some_and(|e| e == "rs"))
            .into_iter()
            .map(|path| (path.strip_prefix(src).unwrap().to_owned(), ()))
            .map(|(path, ())| (path.clone(), module(&path)))
            .collect();
        let by_module: BTreeMap<_, _> = files.iter().map(|(path, module)| (module, path)).collect();
        let names = files
            .iter()
            .map(|(path, module)| {
                let text = fs::read_to_string(src.join(path)).unwrap();
                let tokens = TokenStream::from_str(&text).unwrap();
                let mut named = vec![];
                walk(tokens, module, &|module| by_module.contains_key(module), &mut named);
                // The longest part of a path that is a file; the rest is an item in it.
                let file = |named: Module| {
                    let longest = (0..=named.len()).rev().find_map(|n| by_module.get(&named[..n].to_vec()));
                    longest.map(|file| ((*file).clone(), named))
                };
                (path.clone(), named.into_iter().filter_map(file).filter(|(file, _)| file != path).collect())
            })
            .collect();
        Self { files, names }
    }

    /// The modules just below the root.
    pub fn rooms(&self) -> BTreeSet<&str> {
        self.files.values().filter_map(|module| module.first()).map(String::as_str).collect()
    }

    /// Every path from one room into another, as `file -> room`.
    pub fn crossings(&self) -> impl Iterator<Item = (&Path, &str, &str)> {
        self.names.iter().flat_map(move |(path, named)| {
            let room = self.files[path].first();
            named.iter().filter_map(move |(file, _)| {
                let (from, to) = (room?, self.files[file].first()?);
                (from != to).then_some((path.as_path(), from.as_str(), to.as_str()))
            })
        })
    }

    /// Files that name each other, directly or through others. A child may name its parent, whose part it is.
    pub fn cycles(&self, allowed: &[(&str, &str)]) -> BTreeSet<Vec<&Path>> {
        let is_edge = |from: &Path, to: &Path| {
            let is_parent = self.files[from].starts_with(&self.files[to]);
            !is_parent && !allowed.contains(&(from.to_str().unwrap(), to.to_str().unwrap()))
        };
        let reached: BTreeMap<&Path, BTreeSet<&Path>> = self
            .names
            .keys()
            .map(|from| {
                let (mut reached, mut stack) = (BTreeSet::new(), vec![from.as_path()]);
                while let Some(at) = stack.pop() {
                    for (to, _) in self.names[at].iter().filter(|(to, _)| is_edge(at, to)) {
                        if reached.insert(to.as_path()) {
                            stack.push(to);
                        }
                    }
                }
                (from.as_path(), reached)
            })
            .collect();
        let in_cycle = reached.iter().filter(|(from, reached)| reached.contains(*from));
        in_cycle
            .map(|(from, to)| to.iter().copied().filter(|to| reached[to].contains(from)).collect())
            .collect()
    }
}

/// Every file below `folder` that is `wanted`, but what is built or hidden.
pub fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() && name != "target" && !name.starts_with('.') => {
                found.extend(files(&path, wanted));
            }
            kind if kind.is_file() && wanted(&path) => found.push(path),
            _ => {}
        }
    }
    found
}

/// The module of a file.
fn module(path: &Path) -> Module {
    let parts = path.with_extension("");
    let mut parts: Module = parts.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") || matches!(path.to_str(), Some("main.rs" | "lib.rs")) {
        parts.pop();
    }
    parts
}

/// Every path of `tokens` that begins with `crate`, `self`, `super` or a child, in macros too, from the crate's root.
/// `module` is the one that the tokens are in, `is_file` knows the modules that are files.
fn walk(tokens: TokenStream, module: &Module, is_file: &dyn Fn(&Module) -> bool, found: &mut Vec<Module>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) if is_colons(&tokens, i + 1) => {
                let begins = ["crate", "self", "super"].contains(&name.to_string().as_str())
                    || is_file(&[module.as_slice(), &[name.to_string()]].concat());
                // The parts of a path were found with its beginning.
                if begins && !(i >= 2 && is_colons(&tokens, i - 2)) {
                    path(&tokens, i, module.clone(), found);
                }
            }
            TokenTree::Group(group) => {
                // `mod tests { ... }` is a module of its own, in the same file.
                let inner = match (i.checked_sub(2).map(|i| &tokens[i]), i.checked_sub(1).map(|i| &tokens[i]))
                {
                    (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(name)))
                        if word == "mod" && group.delimiter() == Delimiter::Brace =>
                    {
                        [module.as_slice(), &[name.to_string()]].concat()
                    }
                    _ => module.clone(),
                };
                walk(group.stream(), &inner, is_file, found);
            }
            _ => {}
        }
    }
}

fn is_colons(tokens: &[TokenTree], i: usize) -> bool {
    let is_colon = |i: usize| matches!(tokens.get(i), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    is_colon(i) && is_colon(i + 1)
}

/// Follows the path at `i` from the module `at`; `{a, b::c}` is two.
fn path(tokens: &[TokenTree], mut i: usize, mut at: Module, found: &mut Vec<Module>) {
    loop {
        match tokens.get(i) {
            Some(TokenTree::Ident(name)) => match name.to_string().as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => at.push(name.to_owned()),
            },
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
                for part in inner.split(is_comma).filter(|part| !part.is_empty()) {
                    path(part, 0, at.clone(), found);
                }
                return;
            }
            _ => break,
        }
        if !is_colons(tokens, i + 1) {
            break;
        }
        i += 3;
    }
    found.push(at);
}

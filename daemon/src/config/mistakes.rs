//! Every mistake that one reading of a configuration finds, and what several sections ask of paths.

use std::path::Path;

use nervelight_engines::settings::Problem;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<Problem>);

impl Mistakes {
    /// The value of `key` is a mistake.
    pub fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem::at(key, message));
    }

    /// The value of `key` is a mistake unless it is `good`.
    pub fn check(&mut self, good: bool, key: &str, message: &str) {
        if !good {
            self.add(key, message);
        }
    }

    /// How many were found.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the order found.
    pub fn into_list(self) -> Vec<Problem> {
        self.0
    }
}

/// Whether the folder of a file that will be written is there.
pub fn has_folder(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder == Path::new("") || folder.is_dir())
}

use std::fmt;
use std::path::PathBuf;

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

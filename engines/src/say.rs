//! What the programs print for people. A reader that has gone, or a full disk, never ends a program: `println!` would.
//!
//! The macros [`crate::out`], [`crate::outln`] and [`crate::errln`] stand for `print!`, `println!` and `eprintln!`.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The first failure to write standard output that nobody asked for.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Whether a character may do something to a terminal, or turn the reading direction of what follows.
pub fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with what may harm a terminal written out, but for line ends and tabs. Names of files and keys of other
/// people's files are in it.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let bad = |c: char| is_harmful(c) && !matches!(c, '\n' | '\t');
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len()), |mut clean, c| {
        if bad(c) {
            clean.extend(c.escape_unicode())
        } else {
            clean.push(c)
        }
        clean
    }))
}

/// Writes to standard output, and remembers a failure.
pub fn out(text: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let text = text.to_string();
    if let Err(error) = stdout.write_all(harmless(&text).as_bytes()).and_then(|()| stdout.flush()) {
        keep(error);
    }
}

/// Writes to standard error. When that fails there is nobody left to hear about it.
pub fn err(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_all(harmless(&text.to_string()).as_bytes());
}

/// A reader that has seen enough closes the pipe; any other failure means that output is missing.
fn keep(error: io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        let _ = LOST.set(error);
    }
}

/// Why some of the output is missing, if it is. A reader that closed the pipe is no reason.
pub fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

/// `print!` that cannot panic.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::say::out(::std::format_args!($($text)*)) };
}

/// `println!` that cannot panic.
#[macro_export]
macro_rules! outln {
    () => { $crate::say::out(::std::format_args!("\n")) };
    ($($text:tt)*) => { $crate::say::out(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}

/// `eprintln!` that cannot panic.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::say::err(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(harmless("a\tb: 3 µm\n"), "a\tb: 3 µm\n");
        assert_eq!(harmless("x\u{1b}]0;t\u{7}y\u{9b}\u{202e}"), "x\\u{1b}]0;t\\u{7}y\\u{9b}\\u{202e}");
    }
}

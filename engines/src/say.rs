//! What the programs print for people. A reader that has gone, or a full disk, never ends a program: `println!` would.
//!
//! The macros [`crate::out`], [`crate::outln`] and [`crate::errln`] stand for `print!`, `println!` and `eprintln!`.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The first failure to write standard output that nobody asked for.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output, and remembers a failure.
pub fn out(text: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        keep(error);
    }
}

/// Writes to standard error. When that fails there is nobody left to hear about it.
pub fn err(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
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

//! Printing a result: a reader that has gone away (`verdict list faults | head -1`) is no error.

use std::fmt::Arguments;
use std::io::Write;

/// Prints one line to stdout.
pub fn line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// `println!` that a closed stdout does not end.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::say::line(format_args!($($text)*)) };
}

pub(crate) use say;

//! Log lines to stderr, which the host captures and labels with the module's name.

use std::fmt::Display;
use std::io::Write as _;

/// Logs an informational message (seeds: `log`).
pub fn log(message: impl Display) {
    write("INFO", message);
}

/// Logs an error (seeds: `log_error`).
pub fn log_error(message: impl Display) {
    write("ERROR", message);
}

fn write(level: &str, message: impl Display) {
    // In one write, so that concurrent lines don't mix. If stderr is closed, there is nobody left to tell.
    let _ = std::io::stderr().write_all(format!("{level} {message}\n").as_bytes());
}

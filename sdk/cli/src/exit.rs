//! The end of a command that did not simply succeed: prints why, and returns the exit status, with which `main` ends the process.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::output::{print, say};

/// Prints the failure's text on stderr, if it has one, and returns its exit status, which is 0 if the reader of stdout has gone.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    // Without a text it does not write to stderr, which may be a stopped terminal and block.
    if !failure.text().is_empty() {
        say(failure.text());
    }
    ExitCode::from(failure.status())
}

/// For a command line that clap gives no command for: prints the help or version that was asked for, on stdout with status 0, or what is
/// wrong, on stderr with status 2. A missing command is wrong. Stdout that can't be written gives the status of that failure.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        say(&text);
    } else if let Err(failure) = print(&text) {
        return report(&failure);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

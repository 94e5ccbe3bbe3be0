//! How a command ends: what goes to stdout and to stderr, and the exit status.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// The text is complete, with its line end.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    status: u8,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The answer is no: the module replied with an error, the manifest is wrong.
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 1 }
    }

    /// The command can't be carried out as it was given.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self { text: format!("error: {error:#}\n"), status: 2 }
    }

    /// The same, with a report that brings its own form.
    pub(crate) fn wrong(text: String) -> Self {
        Self { text, status: 2 }
    }

    /// The module could not be built, started or kept.
    pub(crate) fn module(error: impl Display) -> Self {
        Self { text: format!("error: {error:#}\n"), status: 3 }
    }

    /// A report that brings its own form.
    pub(crate) fn module_report(text: String) -> Self {
        Self { text, status: 3 }
    }

    /// The user pressed Ctrl-C, or someone sent SIGTERM.
    pub(crate) fn interrupted() -> Self {
        Self { text: String::new(), status: 130 }
    }

    pub(crate) fn report(self) -> ExitCode {
        say(&self.text);
        ExitCode::from(self.status)
    }
}

/// To stderr, in colours if that is a terminal. If stderr is closed, there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// To stdout. A reader that has seen enough, such as `head`, is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("can't write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

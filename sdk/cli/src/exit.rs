//! How a command ends: what goes to stdout and to stderr, and the exit status.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use ixt_host::ErrorReply;
use ixt_host::logs::harmless;

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

/// An error that a module, or the host, has answered with.
pub(crate) fn error_text(reply: &ErrorReply) -> String {
    let details = if reply.details.is_null() {
        String::new()
    } else {
        format!("  details: {}\n", harmless(&reply.details.to_string()))
    };
    // Whoever wrote it is not trusted with the terminal.
    format!("error: {}\n{}", harmless(&reply.to_string()), details)
}

/// To stdout. A reader that has seen enough, such as `head`, ends the command, and is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// The same with what may be no text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure { text: String::new(), status: 0 }),
        Err(error) => Err(Failure::usage(format!("can't write to stdout: {error}"))),
    }
}

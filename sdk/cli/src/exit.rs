//! How a command ends: what it has to say in the end, and the exit status.

use std::fmt::Display;
use std::process::ExitCode;

use ixt_host::ErrorReply;
use ixt_host::text::{harmless, harmless_lines};

use crate::interrupts::Interrupt;
use crate::output::{print, say};

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

    /// Modules have failed, or did not end well.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self { text: shown(error), status: 1 }
    }

    /// The command can't be carried out as it was given.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self { text: shown(error), status: 2 }
    }

    /// The same, with a report that brings its own form.
    pub(crate) fn wrong(text: String) -> Self {
        Self { text, status: 2 }
    }

    /// The module could not be built, started or kept.
    pub(crate) fn module(error: impl Display) -> Self {
        Self { text: shown(error), status: 3 }
    }

    /// A report that brings its own form.
    pub(crate) fn module_report(text: String) -> Self {
        Self { text, status: 3 }
    }

    /// The user pressed Ctrl-C, someone sent SIGTERM, or the terminal is gone.
    pub(crate) fn interrupted(interrupt: Interrupt) -> Self {
        Self { text: String::new(), status: interrupt.status() }
    }

    /// Whether it is that.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.text.is_empty() && self.status > 128
    }

    /// Whoever reads what is printed has seen enough.
    pub(crate) fn unread() -> Self {
        Self { text: String::new(), status: 0 }
    }

    pub(crate) fn report(self) -> ExitCode {
        // With nothing to say it does not wait for a terminal that stands still.
        if !self.text.is_empty() {
            say(&self.text);
        }
        ExitCode::from(self.status)
    }
}

/// Help that was asked for, or what is wrong with the command line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        say(&text);
    } else if let Err(failure) = print(&text) {
        return failure.report();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// An error, which may quote anything: only its first line begins at the left.
fn shown(error: impl Display) -> String {
    format!("error: {}\n", harmless_lines(&format!("{error:#}"), "    "))
}

/// An error that a module, or the host, has answered with.
pub(crate) fn error_text(reply: &ErrorReply) -> String {
    let details = if reply.details.is_null() {
        String::new()
    } else {
        format!("  details: {}\n", harmless(&reply.details.to_string()))
    };
    format!("error: {reply}\n{details}")
}

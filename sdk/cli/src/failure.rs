//! Why a command ended early: what it says on stderr, and its exit status. `ixt help COMMAND` lists the statuses of a command. A failure is
//! only a value: making one prints nothing, and `exit` prints it, once, at the end of the process.

use std::fmt::Display;

use ixt_host::ErrorReply;
use ixt_host::text::{harmless, harmless_lines};

/// The early end of a command: a text for stderr and an exit status. All but [`reader_gone`](Self::reader_gone) have a status above 0.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The whole text, of one or more lines, with the last line end; empty if nothing is to be printed.
    text: String,
    /// The exit status of the process.
    status: u8,
}

/// The result of a command, or of a part of one that can end it.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Status 1: the command was carried out, and the answer is no, such as for a manifest with mistakes. `text` is printed without
    /// `error: ` or a line end of its own; it is empty if everything has been printed already.
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 1 }
    }

    /// Status 1: a module, or the host, answered with this error. The text is `error: CODE: MESSAGE`, and below it the details as JSON,
    /// unless they are `null`.
    pub(crate) fn replied(reply: &ErrorReply) -> Self {
        let details = if reply.details.is_null() {
            String::new()
        } else {
            format!("  details: {}\n", harmless(&reply.details.to_string()))
        };
        Self::no(format!("error: {reply}\n{details}"))
    }

    /// Status 1: a module of `ixt run` has failed, or did not end as it should. The text is `error: ` and the error.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self { text: shown(error), status: 1 }
    }

    /// Status 2: the command can't be carried out, because of its arguments, the host's file, or what these refer to; no host is running;
    /// or stdout can't be written. The text is `error: ` and the error.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self { text: shown(error), status: 2 }
    }

    /// Status 2, with a report of mistakes in the arguments, the host's file, the configuration, or the manifests of `ixt build`, `ixt run`
    /// and `ixt diff`. The report is the text, with its line ends.
    pub(crate) fn wrong(report: String) -> Self {
        Self { text: report, status: 2 }
    }

    /// Status 3: a module could not be built, started or kept running; the connection to the host broke, or its answer can't be read; or
    /// the system refused something that the command needs. The text is `error: ` and the error.
    pub(crate) fn module(error: impl Display) -> Self {
        Self { text: shown(error), status: 3 }
    }

    /// Status 3, with a report of mistakes in the manifest of the module that `ixt call --module` or `ixt conformance` was to start. The
    /// report is the text, with its line ends.
    pub(crate) fn module_report(report: String) -> Self {
        Self { text: report, status: 3 }
    }

    /// A signal ended the command. `status` is 128 plus the signal's number, as in shells: 129, 130 or 143. The text is empty.
    pub(crate) fn interrupted(status: u8) -> Self {
        Self { text: String::new(), status }
    }

    /// Whether a signal ended the command: whether this is of [`interrupted`](Self::interrupted).
    pub(crate) fn is_interrupted(&self) -> bool {
        self.text.is_empty() && self.status > 128
    }

    /// Status 0 and no text: the reader of stdout, such as `head`, has closed it. The command ends early, which is not an error, even if it
    /// would have found one.
    pub(crate) fn reader_gone() -> Self {
        Self { text: String::new(), status: 0 }
    }

    /// The text that `exit` prints on stderr, with its last line end. Empty: nothing is printed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The exit status: 0 to 3, or 128 plus the number of a signal.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }
}

/// `error: …` with the error's causes and a line end. All lines but the first are indented: the error may quote anything, which must not
/// look like another error.
fn shown(error: impl Display) -> String {
    format!("error: {}\n", harmless_lines(&format!("{error:#}"), "    "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_end_has_its_status() {
        let reply = ErrorReply::new("NO".to_owned(), "no".to_owned(), Value::Null, false);
        for (failure, status) in [
            (Failure::reader_gone(), 0),
            (Failure::no(""), 1),
            (Failure::replied(&reply), 1),
            (Failure::failed("x"), 1),
            (Failure::usage("x"), 2),
            (Failure::wrong(String::new()), 2),
            (Failure::module("x"), 3),
            (Failure::module_report(String::new()), 3),
        ] {
            assert_eq!(failure.status(), status);
            assert!(!failure.is_interrupted(), "{failure:?}");
        }
        let interrupted = Failure::interrupted(130);
        assert!(interrupted.is_interrupted() && interrupted.status() == 130);
    }

    #[test]
    fn text_from_elsewhere_makes_no_line_of_its_own() {
        let error = Failure::usage("first\nerror: second\u{1b}[2J");
        assert_eq!(error.text().lines().filter(|line| line.starts_with("error: ")).count(), 1, "{error:?}");
        assert!(!error.text().contains('\u{1b}'), "{error:?}");
        let reply = ErrorReply::new("NO".to_owned(), "no".to_owned(), json!({ "why": "a\u{1b}b" }), false);
        let text = Failure::replied(&reply).text().to_owned();
        assert!(text.starts_with("error: NO: no\n  details: {") && !text.contains('\u{1b}'), "{text}");
    }
}

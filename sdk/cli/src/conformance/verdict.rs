//! The verdict of a check.

use super::section::Section;

/// `Ok`: the module passes, perhaps with a note for people. `Err`: why it does not, or why the check was not made.
pub(super) type Verdict = std::result::Result<Option<String>, Stop>;

/// Why a check ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The module breaks the protocol.
    Failed {
        /// What the protocol demands.
        expected: String,
        /// What the module did instead.
        came: String,
        /// Where PROTOCOL.md demands it.
        section: Section,
    },
    /// The check does not apply to this module; the text says why.
    Skipped(String),
    /// No check can be made, because the module's command can't be started; the text says why.
    CannotStart(String),
}

pub(super) fn failed(section: Section, expected: impl Into<String>, came: impl Into<String>) -> Stop {
    Stop::Failed { expected: expected.into(), came: came.into(), section }
}

pub(super) fn skipped(reason: impl Into<String>) -> Stop {
    Stop::Skipped(reason.into())
}

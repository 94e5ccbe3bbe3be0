//! The verdict of a check: what `checks` return, and `report` prints.

use super::section::Section;

/// `Ok`: the module passes, perhaps with a note for people. `Err`: the module fails, or the check was not made.
pub(super) type Verdict = std::result::Result<Option<String>, Stop>;

/// Why a check ended without a pass.
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
    /// The check does not apply to this module; the text says why. It does not count as failed.
    Skipped(String),
    /// No check can be made, because the module's command can't be started or a socket can't be made; the text says
    /// why. The command ends.
    CannotStart(String),
}

/// A [`Stop::Failed`]: the protocol demands `expected` in `section`, and the module did `came`.
pub(super) fn failed(section: Section, expected: impl Into<String>, came: impl Into<String>) -> Stop {
    Stop::Failed { expected: expected.into(), came: came.into(), section }
}

/// A [`Stop::Skipped`] for this reason.
pub(super) fn skipped(reason: impl Into<String>) -> Stop {
    Stop::Skipped(reason.into())
}

//! What a check found, and how it is printed.

use ixt_host::text::{harmless, harmless_lines};
use serde_json::{Value, json};

use crate::failure::Result;
use crate::output::{print, print_json};

/// What a check found: nothing wrong, perhaps with something to tell; or why not.
pub(super) type Verdict = std::result::Result<Option<String>, Stop>;

/// Why a check ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The module does not keep to the protocol.
    Failed {
        /// What the protocol says.
        expected: String,
        /// What the module did.
        came: String,
        /// Where PROTOCOL.md says so.
        section: &'static str,
    },
    /// The check does not apply to this module.
    Skipped(String),
    /// Nothing can be checked.
    CannotStart(String),
}

pub(super) fn failed(section: &'static str, expected: impl Into<String>, came: impl Into<String>) -> Stop {
    Stop::Failed { expected: expected.into(), came: came.into(), section }
}

pub(super) fn skipped(reason: impl Into<String>) -> Stop {
    Stop::Skipped(reason.into())
}

/// Prints what the checks found, one at a time, and counts.
pub(super) struct Report {
    json: bool,
    ok: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, ok: 0, failed: 0, skipped: 0 }
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// `log` is the end of what the module wrote to stdout and stderr.
    pub(super) fn add(&mut self, check: &str, verdict: &Verdict, log: &[String]) -> Result<()> {
        let (text, object) = match verdict {
            Ok(note) => {
                self.ok += 1;
                let text = note.as_ref().map_or_else(String::new, |note| format!(" ({})", harmless(note)));
                (format!("ok       {check}{text}\n"), json!({ "check": check, "outcome": "ok", "note": note }))
            }
            Err(Stop::Skipped(reason) | Stop::CannotStart(reason)) => {
                self.skipped += 1;
                let object = json!({ "check": check, "outcome": "skipped", "reason": reason });
                (format!("skipped  {check}: {}\n", harmless(reason)), object)
            }
            Err(Stop::Failed { expected, came, section }) => {
                self.failed += 1;
                let see = format!("PROTOCOL.md, \"{section}\"");
                let labelled =
                    [("expected:", harmless(expected)), ("came:", harmless(came)), ("see:", see)].into_iter();
                let log_label = std::iter::once("its log:").chain(std::iter::repeat(""));
                let lines = labelled.chain(log_label.zip(log.iter().map(|line| harmless_lines(line, ""))));
                let lines: Vec<_> = lines.map(|(label, line)| format!("         {label:10}{line}\n")).collect();
                let text = format!("FAILED   {check}\n{}", lines.concat());
                let object = json!({
                    "check": check, "outcome": "failed", "expected": expected, "came": came, "section": section, "log": log,
                });
                (text, object)
            }
        };
        self.print(&text, &object)
    }

    pub(super) fn summary(&self) -> Result<()> {
        let Self { ok, failed, skipped, .. } = self;
        let object = json!({ "ok": ok, "failed": failed, "skipped": skipped });
        self.print(&format!("\n{ok} ok, {failed} failed, {skipped} skipped\n"), &object)
    }

    fn print(&self, text: &str, object: &Value) -> Result<()> {
        if self.json { print_json(&object.to_string()) } else { print(text) }
    }
}

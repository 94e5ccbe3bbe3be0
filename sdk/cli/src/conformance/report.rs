//! Prints the verdict of each check to stdout, for people or as JSON, and counts the verdicts.

use ixt_host::text::{harmless, harmless_lines};
use serde_json::{Value, json};

use super::verdict::{Stop, Verdict};
use crate::failure::Result;
use crate::output::{print, print_json};

/// Prints one verdict after the other. One printer is used for a whole run.
pub(super) struct VerdictPrinter {
    /// Whether to print JSON, one object a line, instead of text.
    json: bool,
    ok: usize,
    failed: usize,
    skipped: usize,
}

impl VerdictPrinter {
    /// A printer that has printed nothing. With `json` it prints objects, one a line, and otherwise text.
    pub(super) fn new(json: bool) -> Self {
        Self { json, ok: 0, failed: 0, skipped: 0 }
    }

    /// How many checks have failed so far.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// Prints and counts the verdict of a check. `log` are the last lines that the module wrote to stdout and stderr;
    /// they are shown if the check has failed. A [`Stop::CannotStart`] counts as skipped; `suite` passes none.
    pub(super) fn verdict(&mut self, check: &str, verdict: &Verdict, log: &[String]) -> Result<()> {
        match verdict {
            Ok(_) => self.ok += 1,
            Err(Stop::Skipped(_) | Stop::CannotStart(_)) => self.skipped += 1,
            Err(Stop::Failed { .. }) => self.failed += 1,
        }
        let (text, object) = shown(check, verdict, log);
        self.print(&text, &object)
    }

    /// Prints how many checks passed, failed and were skipped. Call it once, at the end.
    pub(super) fn summary(&self) -> Result<()> {
        let Self { ok, failed, skipped, .. } = self;
        let object = json!({ "ok": ok, "failed": failed, "skipped": skipped });
        self.print(&format!("\n{ok} ok, {failed} failed, {skipped} skipped\n"), &object)
    }

    fn print(&self, text: &str, object: &Value) -> Result<()> {
        if self.json { print_json(&object.to_string()) } else { print(text) }
    }
}

/// A verdict as text for people, and as an object for programs.
fn shown(check: &str, verdict: &Verdict, log: &[String]) -> (String, Value) {
    match verdict {
        Ok(note) => {
            let text = note.as_ref().map_or_else(String::new, |note| format!(" ({})", harmless(note)));
            (format!("ok       {check}{text}\n"), json!({ "check": check, "outcome": "ok", "note": note }))
        }
        Err(Stop::Skipped(reason) | Stop::CannotStart(reason)) => {
            let object = json!({ "check": check, "outcome": "skipped", "reason": reason });
            (format!("skipped  {check}: {}\n", harmless(reason)), object)
        }
        Err(Stop::Failed { expected, came, section }) => {
            let section = section.heading();
            let see = format!("PROTOCOL.md, \"{section}\"");
            let labelled = [("expected:", harmless(expected)), ("came:", harmless(came)), ("see:", see)].into_iter();
            let log_label = std::iter::once("its log:").chain(std::iter::repeat(""));
            let lines = labelled.chain(log_label.zip(log.iter().map(|line| harmless_lines(line, ""))));
            let lines: Vec<_> = lines.map(|(label, line)| format!("         {label:10}{line}\n")).collect();
            let text = format!("FAILED   {check}\n{}", lines.concat());
            let object = json!({
                "check": check, "outcome": "failed", "expected": expected, "came": came, "section": section, "log": log,
            });
            (text, object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::section::Section;
    use super::super::verdict::{failed, skipped};
    use super::*;

    #[test]
    fn a_verdict_is_a_line_and_a_failure_says_more() {
        let text = |verdict: Verdict| shown("a check", &verdict, &["one".to_owned(), "two\u{1b}".to_owned()]).0;
        assert_eq!(text(Ok(None)), "ok       a check\n");
        assert_eq!(text(Ok(Some("a\nb".to_owned()))), "ok       a check (a\\nb)\n");
        assert_eq!(text(Err(skipped("why"))), "skipped  a check: why\n");
        let shown = text(Err(failed(Section::Errors, "this", "that\u{1b}")));
        assert!(shown.starts_with("FAILED   a check\n         expected: this\n         came:     that"), "{shown}");
        assert!(shown.contains("\n         see:      PROTOCOL.md, \"Errors\"\n         its log:  one\n"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}

//! Diagnostics about a manifest, or about several, in order. A report is the error of the functions that read manifests, and the list of
//! warnings or changes of those that succeed.

use std::fmt;

use super::draw::draw;
use super::{Diagnostic, Severity};
use crate::source::Source;

/// The diagnostics about one manifest, or about several, such as a manifest and those of its `[requires.from]`.
///
/// The diagnostics are sorted by severity in the order of [`Severity`], errors first. Those of equal severity are sorted report by
/// report, in the order of [`extend`](Self::extend), and within one report by their place in the text, then by code; those without a
/// place come first.
///
/// Displayed, a report is what a person reads: for each diagnostic the severity, the code and the message; for each manifest with
/// places of it, `file:line:column` and the lines of the places, which are marked; the notes; and the help. A place that spans
/// several lines is marked in its first one. A diagnostic without places has no lines. Each diagnostic ends with a line end, and an
/// empty line separates two. A report without diagnostics is the empty text. Everything is escaped as by
/// [`harmless_lines`](crate::text::harmless_lines).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report of these diagnostics, which may be in any order; the list may be empty. Each place gets `source` as its manifest, unless
    /// it has one already: by [`Diagnostic::related_in`], or from an earlier report. The diagnostics are sorted as
    /// [`Report`] says; of equal ones that are then neighbours, only one stays.
    #[must_use]
    pub fn new(source: &Source, mut diagnostics: Vec<Diagnostic>) -> Self {
        for diagnostic in &mut diagnostics {
            diagnostic.set_source(source);
        }
        diagnostics.sort_by_key(Diagnostic::order);
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// Adds a report on another manifest, or of another check. Its diagnostics come after those of the same severity that are
    /// here. Equal diagnostics of the two reports both stay. Places keep their manifests.
    pub fn extend(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
        self.diagnostics.sort_by_key(Diagnostic::severity);
    }

    /// The diagnostics, in the order of [`Severity`]; [`Report`] describes the order of equally severe ones.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether there are no diagnostics.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The number of diagnostics of exactly this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == severity).count()
    }

    /// The text of `to_string`, line ends included, in rustc's colours, as ANSI escape sequences for a terminal. They are in it
    /// whether or not the output is a terminal: that is for the caller to know. Empty if there are no diagnostics.
    ///
    /// # Panics
    ///
    /// If a place is not in the text of its source. So does `to_string`.
    #[must_use]
    pub fn to_ansi_string(&self) -> String {
        draw(&self.diagnostics, true)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&draw(&self.diagnostics, false))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::super::{Code, Place};
    use super::*;
    use crate::source::Span;

    #[test]
    fn all_parts_of_a_diagnostic_can_be_read_and_are_drawn() {
        let (old, new) = (Source::new("old.toml", "a = 1\n"), Source::new("new.toml", "b = 2\nc = 3\n"));
        let diagnostic = Diagnostic::new(Code::Contradiction, "`c` is gone")
            .at(6..7, "here")
            .related(0..1, "beside it")
            .related_in(&old, 0..5, "it was this")
            .note("it was there before")
            .help("put it back");
        let report = Report::new(&new, vec![diagnostic]);
        let [found] = report.diagnostics() else { panic!("not one") };
        let place = |place: &Place| {
            let (source, span) = (place.source(), place.span());
            format!("{}: {}: {}", source.path(), &source.text()[span], place.label())
        };
        assert_eq!(found.place().map(place).as_deref(), Some("new.toml: c: here"));
        let related: Vec<_> = found.related_places().iter().map(place).collect();
        assert_eq!(related, ["new.toml: b: beside it", "old.toml: a = 1: it was this"]);
        assert_eq!((found.severity(), found.code()), (Severity::Error, "contradiction"));
        assert_eq!((found.message(), found.help_text()), ("`c` is gone", Some("put it back")));
        assert_eq!(found.notes(), ["it was there before"]);
        assert_eq!(found.to_line(), "new.toml:2:1: `c` is gone; put it back [contradiction]");
        // Both sources are drawn, each with its own lines.
        let drawn = report.to_string();
        for piece in ["new.toml:2:1", "old.toml:1:1", "c = 3", "a = 1", "it was this", "note: it was", "help: put it"] {
            assert!(drawn.contains(piece), "no `{piece}` in\n{drawn}");
        }
        assert!(report.to_ansi_string().contains("\u{1b}["));
    }

    #[test]
    fn a_report_has_each_diagnostic_once_and_errors_first() {
        let source = Source::new("m.toml", "a\nb\n");
        let error = |span: Span, message: &str| Diagnostic::new(Code::Contradiction, message).at(span, "");
        let warning = Diagnostic::new(Code::UnusedType, "unused").at(0..1, "");
        assert_eq!(warning.severity(), Severity::Warning);
        let all = vec![warning, error(2..3, "second"), error(0..1, "first"), error(2..3, "second")];
        let mut report = Report::new(&source, all);
        let messages = |report: &Report| {
            report.diagnostics().iter().map(|diagnostic| diagnostic.message().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(messages(&report), ["first", "second", "unused"]);
        assert_eq!((report.count(Severity::Error), report.count(Severity::Warning)), (2, 1));
        report.extend(Report::new(&Source::new("other.toml", "c"), vec![error(0..1, "third")]));
        assert_eq!(messages(&report), ["first", "second", "third", "unused"]);
        assert!(!report.is_empty() && Report::default().is_empty());
    }
}

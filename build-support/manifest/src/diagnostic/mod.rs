//! Mistakes in a manifest, and changes between two manifests. The checks collect [`Diagnostic`]s, and return all of them in a
//! [`Report`]. The command `ixt`, the code generator and the host make diagnostics too: about manifests, the host's file
//! and options.
//!
//! - this file: one diagnostic
//! - `codes`: the lists of all kinds of mistakes and of all rules for changes
//! - `report`: several diagnostics, in order
//! - `syntax`: the mistakes that the TOML parser finds
//! - `draw`: how they look on a terminal

mod codes;
mod draw;
mod report;
mod syntax;

pub use codes::{ChangeRule, Code, Severity};
pub use report::Report;

use crate::source::{Source, Span};
use crate::text::harmless;

/// A mistake in a manifest, or a change between two manifests: what it is, where it is, and what to do about it. It is built with
/// [`new`](Self::new) or [`change`](Self::change) and the methods that take `self`, then put into a [`Report`]. Texts may be any;
/// the report escapes them when it is displayed. Two diagnostics are equal if all their parts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    code: &'static str,
    message: String,
    place: Option<Place>,
    related: Vec<Place>,
    notes: Vec<String>,
    help: Option<String>,
}

/// A marked range in a manifest, with the text that is shown beside it. [`Diagnostic::place`] and
/// [`Diagnostic::related_places`] return places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Set by [`Diagnostic::related_in`]; otherwise `None` until [`Report::new`] sets it.
    source: Option<Source>,
    span: Span,
    label: String,
}

impl Place {
    /// The manifest that the range is in.
    ///
    /// # Panics
    ///
    /// If the diagnostic is not part of a [`Report`] yet, except for a place of [`Diagnostic::related_in`].
    #[must_use]
    pub fn source(&self) -> &Source {
        self.source.as_ref().expect("a report has set the source of its places")
    }

    /// The range in the text of the manifest. May be empty, for a place between two characters.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// The text beside the range. May be empty; then only the range is marked. Not escaped.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Diagnostic {
    /// A mistake, with the severity of `code`. It has no place until [`at`](Self::at) sets one.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(code.severity(), code.as_str(), message.into())
    }

    /// A change between two manifests, judged by `rule`, which sets the severity. It has no place until [`at`](Self::at) sets one.
    pub fn change(rule: ChangeRule, message: impl Into<String>) -> Self {
        Self::of(rule.severity(), rule.as_str(), message.into())
    }

    fn of(severity: Severity, code: &'static str, message: String) -> Self {
        Self { severity, code, message, place: None, related: Vec::new(), notes: Vec::new(), help: None }
    }

    /// Sets the place of the mistake, in the manifest that the report is about. `label` is shown beside the marked text and may be
    /// empty. An earlier place is replaced. `span` is not checked here: if it is not in the text of the report's source, displaying
    /// the report panics.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.place = Some(Place { source: None, span, label: label.into() });
        self
    }

    /// Adds a further place that belongs to the mistake, such as the other one of two equal names. It is in the manifest that the
    /// report is about: if `span` is not in that text, displaying the report panics. Each call adds one.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Place { source: None, span, label: label.into() });
        self
    }

    /// Adds a further place that is in another manifest, `source`, with its path and text: if `span` is not in that text, displaying
    /// the report panics. Each call adds one.
    #[must_use]
    pub fn related_in(mut self, source: &Source, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Place { source: Some(source.clone()), span, label: label.into() });
        self
    }

    /// Adds a note: background that explains the mistake. Each call adds one.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets the help: what to do about the mistake. An earlier help is replaced.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help to "did you mean `name`?", which replaces an earlier help. `None` leaves the diagnostic as it is. For the result
    /// of [`closest`](crate::closest).
    #[must_use]
    pub(crate) fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// How serious the diagnostic is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The name of its [`Code`] or, for a change, of its [`ChangeRule`], such as `unknown-key`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, or what has changed; without the severity and the code. It may quote the manifest, and with it line ends and other
    /// control characters: pass it through [`harmless`] before it is shown. The same holds for labels, notes and the help.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where the mistake is. `None` if it is in no particular place, such as that of a file that can't be read. There may be related
    /// places all the same.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Further places that belong to the mistake, in this or another manifest, in the order in which they were added. Empty if there
    /// are none.
    #[must_use]
    pub fn related_places(&self) -> &[Place] {
        &self.related
    }

    /// The notes: background that explains the mistake, in the order in which they were added. Empty if there are none.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What to do about the mistake. `None` if there is nothing to add to the message and the labels.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The diagnostic in one line without control characters and without a line end, `file:line:column: message; help [code]`.
    /// Without a place, the line begins with the message; without a help, there is no `; help`. The severity, labels, related places
    /// and notes are left out. Line and column are those at which the place begins, as [`Source::line_column`] counts them.
    ///
    /// # Panics
    ///
    /// If it has a place and is not part of a [`Report`] yet, or if the place begins beyond the text of its source or within a
    /// character.
    #[must_use]
    pub fn to_line(&self) -> String {
        let help = self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        let text = format!("{}{help} [{}]", self.message, self.code);
        harmless(&match &self.place {
            Some(place) => {
                let source = place.source();
                let (line, column) = source.line_column(place.span.start);
                format!("{}:{line}:{column}: {text}", source.path())
            }
            None => text,
        })
    }

    /// The key by which [`Report::new`] sorts.
    fn order(&self) -> (Severity, Option<(usize, usize)>, &'static str) {
        let span = self.place.as_ref().map(|place| (place.span.start, place.span.end));
        (self.severity, span, self.code)
    }

    /// Sets the source of all places that have none; the others keep theirs.
    fn set_source(&mut self, source: &Source) {
        for place in self.place.iter_mut().chain(&mut self.related) {
            place.source.get_or_insert_with(|| source.clone());
        }
    }
}

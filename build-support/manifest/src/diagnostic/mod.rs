//! What is wrong with a manifest, and how that is drawn. Every stage that checks a manifest collects [`Diagnostic`]s
//! and hands them on in one [`Report`].

pub(crate) mod codes;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::text::{harmless, harmless_lines};
use crate::{Code, Rule, Severity, Source};

/// A range of bytes in the manifest's text.
pub type Span = Range<usize>;

/// One thing that is wrong: what it is, where it is, and what to do about it.
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

/// A marked piece of text, and what is said beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `None` until the report says which manifest it is about.
    source: Option<Source>,
    span: Span,
    label: String,
}

impl Place {
    /// The manifest that the place is in.
    ///
    /// # Panics
    ///
    /// If the diagnostic is not part of a report yet.
    #[must_use]
    pub fn source(&self) -> &Source {
        self.source.as_ref().expect("a report knows the source of its places")
    }

    /// Where in the text.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// What is said beside it; may be empty.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Diagnostic {
    /// Something that is wrong, at no place in the text yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(code.severity(), code.as_str(), message.into())
    }

    /// A change that is judged by a rule, at no place in a text yet.
    pub fn change(rule: Rule, message: impl Into<String>) -> Self {
        Self::of(rule.severity(), rule.as_str(), message.into())
    }

    fn of(severity: Severity, code: &'static str, message: String) -> Self {
        Self { severity, code, message, place: None, related: Vec::new(), notes: Vec::new(), help: None }
    }

    /// Points at the mistake. The label stands beside the marked text and may be empty.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.place = Some(Place { source: None, span, label: label.into() });
        self
    }

    /// Points at another place that has to do with it, such as the other side of a collision.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Place { source: None, span, label: label.into() });
        self
    }

    /// The same, for a place in another manifest.
    #[must_use]
    pub fn related_in(mut self, source: &Source, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Place { source: Some(source.clone()), span, label: label.into() });
        self
    }

    /// Says what stands behind it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the name that was probably meant, if there is one.
    #[must_use]
    pub(crate) fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// How serious it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The name of a [`Code`] or, of a change, a [`Rule`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is wrong, if that is a place in a text.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Other places that have to do with it.
    #[must_use]
    pub fn related_places(&self) -> &[Place] {
        &self.related
    }

    /// What stands behind it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What to do.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The diagnostic in one line, `file:line:column: message [code]`, for where there is no room for more.
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

    fn order(&self) -> (Severity, Option<(usize, usize)>, &'static str) {
        let span = self.place.as_ref().map(|place| (place.span.start, place.span.end));
        (self.severity, span, self.code)
    }
}

/// Everything that is wrong with one manifest: errors first, each kind in the order of the text.
///
/// Displayed, it is the text that a person reads: for each mistake `file:line:column`, the line itself, what is wrong
/// with it and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Puts the diagnostics of one manifest in order.
    #[must_use]
    pub fn new(source: &Source, mut diagnostics: Vec<Diagnostic>) -> Self {
        for diagnostic in &mut diagnostics {
            for place in diagnostic.place.iter_mut().chain(&mut diagnostic.related) {
                place.source.get_or_insert_with(|| source.clone());
            }
        }
        diagnostics.sort_by_key(Diagnostic::order);
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// Adds what was found in another manifest, or by another check.
    pub fn extend(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
    }

    /// What was found.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// The same text as `to_string`, in rustc's colours.
    #[must_use]
    pub fn to_ansi_string(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            if !text.is_empty() {
                text.push('\n');
            }
            // The renderer leaves some characters as they are, and notes altogether.
            text.push_str(&harmless_lines(&renderer.render(&[group(diagnostic)]), ""));
            text.push('\n');
        }
        text
    }
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error | Severity::Breaking => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
        Severity::Compatible => Level::INFO,
    };
    let level = level.with_name(diagnostic.severity.as_str());
    let mut group = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code));
    if let Some(place) = &diagnostic.place {
        let here = diagnostic.related.iter().filter(|related| related.source == place.source);
        let places: Vec<_> = std::iter::once((AnnotationKind::Primary, place))
            .chain(here.map(|related| (AnnotationKind::Context, related)))
            .collect();
        group = group.element(snippet(place.source(), &places));
    }
    let mut elsewhere = BTreeMap::<&str, Vec<(AnnotationKind, &Place)>>::new();
    for related in &diagnostic.related {
        if diagnostic.place.as_ref().is_none_or(|place| place.source != related.source) {
            elsewhere.entry(related.source().path()).or_default().push((AnnotationKind::Context, related));
        }
    }
    for places in elsewhere.values() {
        group = group.element(snippet(places[0].1.source(), places));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    group
}

/// Only the lines from the first place to the last are handed over: a manifest may be long, and have many mistakes.
fn snippet<'a>(
    source: &'a Source,
    places: &[(AnnotationKind, &'a Place)],
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = source.text();
    let first = places.iter().map(|(_, place)| place.span.start).min().unwrap_or_default();
    let last = places.iter().map(|(_, place)| visible(text, &place.span).end).max().unwrap_or_default();
    let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[last..].find('\n').map_or(text.len(), |newline| last + newline);
    let mut snippet =
        Snippet::source(&text[start..end]).path(harmless(source.path())).line_start(source.line_column(first).0);
    for (kind, place) in places {
        let span = visible(text, &place.span);
        let label = (!place.label.is_empty()).then_some(place.label.as_str());
        snippet = snippet.annotation(kind.span(span.start - start..span.end - start).label(label));
    }
    snippet
}

/// A table or a long string spans many lines; its first line is enough to find it.
fn visible(text: &str, span: &Span) -> Span {
    let first_line = text[span.clone()].lines().next().unwrap_or_default();
    span.start..span.start + first_line.len()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_draw_a_diagnostic_finds_all_of_it() {
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

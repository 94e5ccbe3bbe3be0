//! Draws diagnostics as rustc does, with the crate `annotate-snippets`. For [`Report`](super::Report) alone.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Place, Severity};
use crate::source::{Source, Span};
use crate::text::{harmless, harmless_lines};

/// The text for all diagnostics, each with a line end after it, with an empty line between two. Empty if there are none. With `colors`,
/// rustc's colours, as ANSI escape sequences.
///
/// # Panics
///
/// If a place has no source yet, or is not in the text of its source.
pub(super) fn draw(diagnostics: &[Diagnostic], colors: bool) -> String {
    let renderer = if colors { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        // The renderer does not escape all control characters, and none in notes.
        text.push_str(&harmless_lines(&renderer.render(&[group(diagnostic)]), ""));
        text.push('\n');
    }
    text
}

/// One diagnostic: its title, the places in the manifest of its own place, those in each other manifest (sorted by path), its notes and
/// its help.
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

/// The lines from the first place to the last, with all `places` marked; these are in `source`, and at least one. Only these lines are
/// passed to the renderer, which reads its whole input each time: a manifest may be long and have many mistakes.
fn snippet<'a>(
    source: &'a Source,
    places: &[(AnnotationKind, &'a Place)],
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = source.text();
    let first = places.iter().map(|(_, place)| place.span.start).min().unwrap_or_default();
    let last = places.iter().map(|(_, place)| first_line(text, &place.span).end).max().unwrap_or_default();
    let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[last..].find('\n').map_or(text.len(), |newline| last + newline);
    let mut snippet =
        Snippet::source(&text[start..end]).path(harmless(source.path())).line_start(source.line_column(first).0);
    for (kind, place) in places {
        let span = first_line(text, &place.span);
        let label = (!place.label.is_empty()).then_some(place.label.as_str());
        snippet = snippet.annotation(kind.span(span.start - start..span.end - start).label(label));
    }
    snippet
}

/// The part of a span in its first line, without the line end. A table or a long string may span many lines, and the first is enough to
/// find it.
fn first_line(text: &str, span: &Span) -> Span {
    let line = text[span.clone()].lines().next().unwrap_or_default();
    span.start..span.start + line.len()
}

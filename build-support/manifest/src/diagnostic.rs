//! What is wrong with a manifest, and how that is drawn. Every stage that checks a manifest collects [`Diagnostic`]s
//! and hands them on in one [`Report`].

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::Source;

/// A range of bytes in the manifest's text.
pub type Span = Range<usize>;

/// One mistake: what it is, where it is, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    message: String,
    primary: Option<(Span, String)>,
    related: Vec<(Span, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// A mistake with no place in the text, such as a file that can't be read.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), primary: None, related: Vec::new(), help: None }
    }

    /// Points at the mistake. The label stands beside the marked text and may be empty.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Points at another place that has to do with it, such as the other side of a collision.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is wrong, if that is a place in the text.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.primary.as_ref().map(|(span, _)| span.clone())
    }
}

/// Everything that is wrong with one manifest, in the order of the text; never empty.
///
/// Displayed, it is the text that a person reads: for each mistake `file:line:column`, the line itself, what is wrong
/// with it and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    source: Source,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Puts the diagnostics of one manifest in the order of its text.
    #[must_use]
    pub fn new(source: Source, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| (span.start, span.end)));
        Self { source, diagnostics }
    }

    /// The mistakes, in the order of the text.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
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
            text.push_str(&renderer.render(&[self.group(diagnostic)]));
            text.push('\n');
        }
        text
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
        if let Some((span, label)) = &diagnostic.primary {
            let label = (!label.is_empty()).then_some(label.as_str());
            let mut snippet = Snippet::source(self.source.text())
                .path(self.source.path())
                .annotation(AnnotationKind::Primary.span(self.visible(span)).label(label));
            for (span, label) in &diagnostic.related {
                snippet = snippet.annotation(AnnotationKind::Context.span(self.visible(span)).label(label));
            }
            group = group.element(snippet);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help));
        }
        group
    }

    /// A table or a long string spans many lines; its first line is enough to find it.
    fn visible(&self, span: &Span) -> Span {
        let first_line = self.source.text()[span.clone()].lines().next().unwrap_or_default();
        span.start..span.start + first_line.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Report {}

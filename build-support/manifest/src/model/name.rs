//! A text with its place in the manifest.

use std::fmt;

use crate::source::Span;

/// A text from the manifest, mostly a name, and where it is written, so that a diagnostic can point at it. Two are equal only if both their
/// texts and their places are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    span: Span,
}

impl Name {
    pub(crate) fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    /// The text, without TOML's quotes and escapes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The place of the text in the manifest, with its quotes.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

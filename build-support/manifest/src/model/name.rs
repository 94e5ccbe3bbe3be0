//! A text with its place in the manifest.

use std::fmt;

use crate::source::Span;

/// A text from the manifest, such as a name, a version or a path, and where it is written, so that a diagnostic can point at
/// it. Two are equal only if both their texts and their places are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    span: Span,
}

impl Name {
    /// The `text` that is written at `span`. It is not checked.
    pub(crate) fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    /// The text, without TOML's quotes and escapes. The docs of the field that holds this name say which characters it may have. Where
    /// they say nothing, it may have any, also control characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The place of the text in the manifest, with its quotes if it has some. It belongs to the source that the manifest was parsed
    /// from.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }
}

/// Writes the text as it is, without escapes.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

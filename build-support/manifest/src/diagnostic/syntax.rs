//! The mistakes that the TOML parser finds, in manifests and in the host's file.

use super::{Code, Diagnostic};
use crate::source::Span;

impl Diagnostic {
    /// The diagnostic for an error of the TOML parser in `text`, with the code [`Code::Syntax`]. It has a place if the parser names
    /// one, and no help. `text` has to be the text that was parsed, which is not checked: it is used to widen the place to whole
    /// characters.
    #[must_use]
    pub fn syntax(error: &toml::de::Error, text: &str) -> Self {
        // The parser's message reads "what is wrong, expected this, that"; the first half is the title.
        let (title, label) = match error.message().split_once(", expected ") {
            Some((title, "nothing")) => (title, "not expected here".to_owned()),
            Some((title, expected)) => (title, format!("expected {expected}")),
            None => (error.message(), String::new()),
        };
        let diagnostic = Self::new(Code::Syntax, format!("this is not TOML: {title}"));
        match error.span() {
            Some(span) => diagnostic.at(whole_characters(text, span), label),
            None => diagnostic,
        }
    }
}

/// Widens a span of the parser, which may begin or end within a character, to whole characters. What is beyond the text is cut off.
fn whole_characters(text: &str, Span { start, end }: Span) -> Span {
    let (mut start, mut end) = (start.min(text.len()), end.min(text.len()));
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

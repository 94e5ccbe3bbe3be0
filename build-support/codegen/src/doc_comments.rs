//! Doc comments from the texts of a manifest. Such a text has to remain text: rustdoc must find no code block in it
//! that it would run, and no link or HTML tag of which it would warn. And it must contain no character that hides or
//! reorders others. Two things are left to Markdown: lists, and headings that are underlined with `---` or `===`.

use ixt_manifest::text::harmless;
use ixt_manifest::{Bounds, Deprecated};
use proc_macro2::TokenStream;

use crate::rust_code::{Lines, string, tokens};

/// The attribute that allows lints about generated code that its author can't change: about names, texts and values
/// from the manifest, and about items that are not used.
pub(crate) const ALLOW: &str = "#[allow(dead_code, deprecated, unreachable_pub, clippy::all, clippy::pedantic)]";

/// The doc comment of these lines, which are Markdown already and have no line ends: `/// ` before each. An empty line
/// separates paragraphs. Without lines there is no comment.
pub(crate) fn comment<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Lines {
    let comment = |line: S| match line.as_ref() {
        "" => "///".to_owned(),
        line => format!("/// {line}"),
    };
    lines.into_iter().map(comment).collect()
}

/// The doc comment of these lines, and `#[deprecated]` if `deprecated` is given, for `quote!`.
pub(crate) fn attributes<S: AsRef<str>>(
    lines: impl IntoIterator<Item = S>,
    deprecated: Option<&Deprecated>,
) -> TokenStream {
    let mut attributes = comment(lines);
    attributes.extend(self::deprecated(deprecated));
    tokens(&attributes.join("\n"))
}

/// [`ALLOW`] for `quote!`.
pub(crate) fn allow() -> TokenStream {
    tokens(ALLOW)
}

/// The attribute `#[deprecated]`, with the manifest's text on what to use instead as its note, if there is one. `None`
/// if `deprecated` is `None`.
pub(crate) fn deprecated(deprecated: Option<&Deprecated>) -> Option<String> {
    let deprecated = deprecated?;
    Some(match &deprecated.instead {
        Some(instead) => format!("#[deprecated(note = {})]", string(instead)),
        None => "#[deprecated]".to_owned(),
    })
}

/// The bounds of a type in one sentence, with a full stop; those of its items and fields are not in it. `None` if there
/// are none.
pub(crate) fn bounds(bounds: &Bounds) -> Option<String> {
    let mut sentence = bounds.in_words(code_span).join(", ");
    sentence.get_mut(..1)?.make_ascii_uppercase();
    Some(sentence + ".")
}

/// A text from the manifest, as lines for [`comment`] that show its words as they are; a run of white space becomes one
/// space. Several empty lines become one, and those at the beginning and the end are left out. Empty if the text is
/// empty or white space.
pub(crate) fn text(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split(['\n', '\r']).map(plain_line).skip_while(String::is_empty).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    lines.pop_if(|line| line.is_empty());
    lines
}

/// The lines of a description, or `fallback` if there is none or it is empty or white space. `fallback` is one line of
/// Markdown already.
pub(crate) fn described(description: Option<&String>, fallback: String) -> Vec<String> {
    match description.map(|description| text(description)) {
        Some(lines) if !lines.is_empty() => lines,
        _ => vec![fallback],
    }
}

/// A value from the manifest as a code span of Markdown, on one line: line ends and control characters are escaped.
pub(crate) fn code_span(code: &str) -> String {
    let code = harmless(code);
    let longest_run = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    if longest_run == 0 {
        return format!("`{code}`");
    }
    let fence = "`".repeat(longest_run + 1);
    format!("{fence} {code} {fence}")
}

/// The line with one space for each run of white space, since four spaces would begin a code block, and none at its
/// ends; with escapes for the characters that begin code, links, HTML, emphasis, headings and tables in Markdown, also
/// for the colon of a bare URL. The marks of lists (`-`, `1.`) are not escaped.
fn plain_line(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    for word in line.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        for c in word.chars() {
            if matches!(c, '\\' | '`' | '~' | '[' | ']' | '<' | '>' | '*' | '_' | '#' | '|' | '&' | ':') {
                plain.push('\\');
            }
            plain.push(c);
        }
    }
    harmless(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_stays_text() {
        assert_eq!(text("plain text"), ["plain text"]);
        assert_eq!(text("\n two\r\n\n  paragraphs"), ["two", "", "paragraphs"]);
        assert_eq!(text("```\npanic!()\n```"), [r"\`\`\`", "panic!()", r"\`\`\`"]);
        assert_eq!(text("~~~"), [r"\~\~\~"]);
        assert_eq!(text("    indented"), ["indented"]);
        assert_eq!(text("-     in a list"), ["- in a list"]);
        assert_eq!(text("see [Foo] or <b>"), [r"see \[Foo\] or \<b\>"]);
        assert_eq!(text("https://example.com"), [r"https\://example.com"]);
        assert_eq!(text("a \u{202e}b\0"), [r"a \u{202e}b\u{0}"]);
    }

    #[test]
    fn a_code_span_is_longer_than_what_it_holds() {
        assert_eq!(code_span("plain"), "`plain`");
        assert_eq!(code_span("a `` b"), "``` a `` b ```");
    }
}

//! A manifest's texts as doc comments. They come from outside and must stay text: no code block that rustdoc would run,
//! no link or HTML tag that it would complain about, no character that shows something other than what is there.

use ixt_manifest::text::harmless;
use ixt_manifest::{Bounds, Deprecated};
use proc_macro2::TokenStream;

use crate::rust_code::{Lines, string, tokens};

/// For an item whose names, texts or values come from the manifest, or that the author may not use: lints would complain
/// about what can't be changed in the code.
pub(crate) const ALLOW: &str = "#[allow(dead_code, deprecated, unreachable_pub, clippy::all, clippy::pedantic)]";

/// A doc comment of lines that this crate wrote; an empty line separates paragraphs.
pub(crate) fn comment<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Lines {
    let comment = |line: S| match line.as_ref() {
        "" => "///".to_owned(),
        line => format!("/// {line}"),
    };
    lines.into_iter().map(comment).collect()
}

/// The same for a quoted item, and that it is deprecated.
pub(crate) fn attributes<S: AsRef<str>>(
    lines: impl IntoIterator<Item = S>,
    deprecated: Option<&Deprecated>,
) -> TokenStream {
    let mut attributes = comment(lines);
    attributes.extend(self::deprecated(deprecated));
    tokens(&attributes.join("\n"))
}

/// [`ALLOW`] for a quoted item.
pub(crate) fn allow() -> TokenStream {
    tokens(ALLOW)
}

/// That something is not to be used any more.
pub(crate) fn deprecated(deprecated: Option<&Deprecated>) -> Option<String> {
    let deprecated = deprecated?;
    Some(match &deprecated.instead {
        Some(instead) => format!("#[deprecated(note = {})]", string(instead)),
        None => "#[deprecated]".to_owned(),
    })
}

/// What values have to keep to, as a sentence.
pub(crate) fn bounds(bounds: &Bounds) -> Option<String> {
    let Bounds { min, max, min_length, max_length, pattern } = bounds;
    let mut parts = Vec::new();
    for (words, bound) in [("at least", min), ("at most", max)] {
        parts.extend(bound.iter().map(|bound| format!("{words} {}", code_span(&bound.value.to_string()))));
    }
    for (words, bound) in [("at least", min_length), ("at most", max_length)] {
        parts.extend(bound.iter().map(|bound| format!("{words} {} long", bound.value)));
    }
    parts.extend(pattern.iter().map(|pattern| format!("matches {}", code_span(&pattern.value))));
    let mut sentence = parts.join(", ");
    sentence.get_mut(..1)?.make_ascii_uppercase();
    Some(sentence + ".")
}

/// A text from the manifest, as lines for [`comment`].
pub(crate) fn text(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split(['\n', '\r']).map(plain_line).skip_while(String::is_empty).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    lines.pop_if(|line| line.is_empty());
    lines
}

/// A description if there is one, and what can be said without.
pub(crate) fn described(description: Option<&String>, fallback: String) -> Vec<String> {
    match description.map(|description| text(description)) {
        Some(lines) if !lines.is_empty() => lines,
        _ => vec![fallback],
    }
}

/// A value of the manifest as a code span, which shows it as it is.
pub(crate) fn code_span(code: &str) -> String {
    let code = harmless(code);
    let longest_run = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    if longest_run == 0 {
        return format!("`{code}`");
    }
    let fence = "`".repeat(longest_run + 1);
    format!("{fence} {code} {fence}")
}

/// Runs of white space become one space, since four of them begin a code block, and what begins Markdown, or a bare URL,
/// is escaped.
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

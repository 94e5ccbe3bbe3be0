//! Makes text from outside harmless to a terminal: a text from a module, a manifest or an error is displayed, and has no other
//! effect. Programs that print such a text, and code that writes it into a log, pass it through one of these functions.
//!
//! Characters that move the cursor, that hide or reorder the text around them, or that are invisible are replaced by escapes such
//! as `\u{1b}`. A few invisible ones remain, since Persian, Mongolian, the languages of India and emoji need them, and they neither
//! hide nor reorder anything: the joiner and the non-joiner (U+200D, U+200C), and the variation selectors U+FE00 to U+FE0F and
//! U+180B to U+180F (except U+180E). Spaces of any width remain too.

use std::fmt::Write as _;

/// Escapes everything that is not plain text, also line ends, tabs and colours. For a text that is part of a line: a name, a key,
/// an error. Plain text stays as it is, of any length and without quotes. A backslash stays too, so a text that has an escape in it
/// already looks like an escaped one.
///
/// ```
/// # use ixt_manifest::text::harmless;
/// assert_eq!(harmless("a\nb\u{1b}[31m\u{202e}c"), r"a\nb\u{1b}[31m\u{202e}c");
/// ```
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    shown
}

/// Escapes everything that is not plain text except line ends, tabs and colours. For several lines, such as the output of a program.
/// `indent` is added after each line end, also one at the end of the text; so no line but the first can be taken for one of the
/// program that prints it. A line end `\r\n` becomes `\n`; a `\r` elsewhere is escaped, except at the end of the text, where it is
/// left out.
///
/// The colours that remain are foreground colours, and bold, dim, italic and underlined. Background colours are escaped, since they can
/// hide text. If the last colour in the text is not the reset `ESC [0m`, this is added at the end.
///
/// ```
/// # use ixt_manifest::text::harmless_lines;
/// assert_eq!(harmless_lines("a\r\nb\u{7}", "  "), "a\n  b\\u{7}");
/// assert_eq!(harmless_lines("\u{1b}[31mred\u{1b}[8m", ""), "\u{1b}[31mred\\u{1b}[8m\u{1b}[0m");
/// ```
#[must_use]
pub fn harmless_lines(text: &str, indent: &str) -> String {
    const RESET: &str = "\u{1b}[0m";
    let mut shown = String::with_capacity(text.len());
    let mut color_is_on = false;
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_plain(*c)) {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut length = c.len_utf8();
        match c {
            '\n' => {
                shown.push('\n');
                shown.push_str(indent);
            }
            '\t' => shown.push('\t'),
            // Part of a line end, which is written without it.
            '\r' if matches!(rest.as_bytes(), [_] | [_, b'\n', ..]) => {}
            _ => match color(rest) {
                Some(color) => {
                    length = color.len();
                    shown.push_str(color);
                    color_is_on = color != RESET;
                }
                None => shown.extend(c.escape_default()),
            },
        }
        rest = &rest[length..];
    }
    shown.push_str(rest);
    if color_is_on {
        shown.push_str(RESET);
    }
    shown
}

/// Writes a JSON value in one line, without a line end, with JSON's escapes for all characters that are not plain text. Line ends
/// and tabs between values become spaces. `json` has to be valid JSON, which is not checked; the value stays the same.
///
/// ```
/// # use ixt_manifest::text::harmless_json;
/// assert_eq!(harmless_json("{ \"a\":\n\"\u{9b}\u{e0041}\" }"), r#"{ "a": "\u009b\udb40\udc41" }"#);
/// ```
#[must_use]
pub fn harmless_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // In valid JSON these are only between values, where a space means the same.
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_plain(c) => shown.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
        }
    }
    shown
}

/// Whether a character is displayed, and has no effect on others.
fn is_plain(c: char) -> bool {
    !c.is_control() && !is_hidden(c)
}

/// Whether a character is invisible or changes where others are shown: Unicode's `Default_Ignorable_Code_Point`, without those that
/// the head of this file names; the separators of lines and paragraphs; and the marks of interlinear annotations.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The colour, or the reset, that a text begins with: `ESC [ numbers m`. `None` if there is none, or if one of the numbers is missing or
/// not known to be harmless.
fn color(text: &str) -> Option<&str> {
    let after = text.strip_prefix("\u{1b}[")?;
    let (numbers, rest) = after.split_at(after.find(|c: char| !(c.is_ascii_digit() || c == ';'))?);
    let rest = rest.strip_prefix('m')?;
    let mut numbers = numbers.split(';').map(|number| if number.is_empty() { Ok(0) } else { number.parse::<u8>() });
    while let Some(number) = numbers.next() {
        let more = match number.ok()? {
            0..=4 | 22..=24 | 30..=37 | 39 | 90..=97 => 0,
            38 => match numbers.next()?.ok()? {
                // One of 256, or red, green and blue.
                5 => 1,
                2 => 3,
                _ => return None,
            },
            _ => return None,
        };
        for _ in 0..more {
            numbers.next()?.ok()?;
        }
    }
    Some(&text[..text.len() - rest.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_it_shows_is_spelled_out() {
        assert_eq!(harmless("a\u{1b}]0;x\u{7}\r\n\t\0\u{7f}\u{9b}8m"), r"a\u{1b}]0;x\u{7}\r\n\t\u{0}\u{7f}\u{9b}8m");
        for hidden in
            "\u{ad}\u{61c}\u{200b}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}".chars()
        {
            let spelled_out = hidden.escape_unicode().to_string();
            assert_eq!(harmless(&format!("a{hidden}")), format!("a{spelled_out}"));
            assert_eq!(harmless_lines(&format!("a{hidden}"), ""), format!("a{spelled_out}"));
        }
        let plain = "grüß dich, 日本 می\u{200c}خواهم 👩\u{200d}🔬 ❤\u{fe0f} \\u{1b}";
        assert_eq!((harmless(plain), harmless_lines(plain, "")), (plain.to_owned(), plain.to_owned()));
    }

    #[test]
    fn only_colours_of_letters_stay() {
        for color in ["31", "1;38;5;9", "38;2;1;2;3", "97", "", "0;4", "38;5;8"] {
            let text = format!("\u{1b}[{color}mx\u{1b}[0m");
            assert_eq!(harmless_lines(&text, ""), text);
        }
        for other in
            ["8", "5", "1;8", "41", "48;5;1", "38;5", "38;2;1;2", "38", "38;8;1", "0008", "256", "7", ">4;2", "3:1"]
        {
            let text = format!("\u{1b}[{other}mx");
            assert_eq!(harmless_lines(&text, ""), format!("\\u{{1b}}[{other}mx"));
        }
        assert_eq!(harmless_lines("\u{1b}[2J\u{1b}[3", ""), "\\u{1b}[2J\\u{1b}[3");
    }

    #[test]
    fn a_colour_ends_with_its_text() {
        assert_eq!(harmless_lines("\u{1b}[31mred\nlight", "    "), "\u{1b}[31mred\n    light\u{1b}[0m");
        assert_eq!(harmless_lines("a\r\nb\rc\r", "    "), "a\n    b\\rc");
    }

    #[test]
    fn json_stays_the_same() {
        let json = "{\"a\\\\\u{202e}\":[1,\r\n\"\\\"\u{7f}\u{1d173}ü\"]}";
        assert_eq!(harmless_json(json), r#"{"a\\\u202e":[1,  "\"\u007f\ud834\udd73ü"]}"#);
    }
}

//! Text from outside: what `ixt_manifest::text` makes of it moves no cursor, and hides and reorders nothing.

use ixt_manifest::text::{harmless, harmless_json, harmless_lines};

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let line = harmless(&text);
    assert_harmless(&line);
    assert!(!line.contains(['\n', '\t']), "{line:?}");
    // What is harmless stays as it is.
    assert_eq!(harmless(&line), line);
    let lines = harmless_lines(&text, "  ");
    let mut rest = lines.as_str();
    while let Some(at) = rest.find('\u{1b}') {
        // Of colours, only those of letters.
        let (parameters, after) =
            rest[at..].strip_prefix("\u{1b}[").and_then(|rest| rest.split_once('m')).expect("a colour");
        assert!(parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'), "{parameters:?}");
        rest = after;
    }
    let json = serde_json::Value::from(&*text).to_string();
    let shown = harmless_json(&json);
    assert_harmless(&shown);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), serde_json::Value::from(&*text));
}

pub(crate) fn assert_harmless(text: &str) {
    let bad = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    assert!(!text.contains(bad), "{text:?}");
}
